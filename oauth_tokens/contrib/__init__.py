"""Bridges to other packages; each needs the package it is named after."""
