// Keeps the dashboard's history current without reloading the page or asking for a token.
const panel = document.getElementById("live");

function showTimes() {
  for (const node of panel.querySelectorAll("time")) {
    node.textContent = new Date(node.dateTime).toLocaleTimeString([], { timeStyle: "medium" });
  }
  for (const node of panel.querySelectorAll("[data-expires]")) {
    const left = Math.round((new Date(node.dataset.expires) - Date.now()) / 1000);
    node.textContent = `${Math.max(left, 0)} s`;
  }
}

async function update() {
  if (!document.hidden) {
    try {
      const answer = await fetch(panel.dataset.url, { redirect: "error" });
      if (answer.ok) panel.innerHTML = await answer.text();
    } catch {
      // The site is being restarted, or the session has ended: the next round tells.
    }
  }
  showTimes();
}

showTimes();
setInterval(update, 2000);
setInterval(showTimes, 500);
