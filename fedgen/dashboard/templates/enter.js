"use strict";
// A link carries its token behind #, which no browser sends: it goes from here in a body, once, and out of the address.
(async () => {
  const token = location.hash.slice(1), here = location.pathname;
  history.replaceState(null, "", here);
  const form = document.getElementById("enter");
  if (token) {
    form.elements.token.value = token;
    form.submit();
  } else if (!here.endsWith("/enter")) {
    // Who follows a link from elsewhere is signed in already, but the cookie is not sent along with that.
    const known = await fetch(form.action.replace(/enter$/, "session")).catch(() => null);
    if (known && known.ok) location.replace(here);
  }
})();
