"""The rows and their atomic transitions."""

from .circuit import ProviderCircuit
from .event import TokenEvent
from .revocation import PendingRevocation
from .run import TaskRun
from .token import OAuthToken

__all__ = ["OAuthToken", "PendingRevocation", "ProviderCircuit", "TaskRun", "TokenEvent"]
