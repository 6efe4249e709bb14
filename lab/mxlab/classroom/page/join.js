// A token that was typed, as if the address of the card had been opened.
document.getElementById("join").addEventListener("submit", (event) => {
  event.preventDefault();
  location.href = "/join/" + encodeURIComponent(new FormData(event.target).get("token").trim());
});
