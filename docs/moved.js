/* The reference was one page once: an anchor of then leads to the page where its entry is now. */
const asked = decodeURIComponent(location.hash.slice(1));
if (asked && !document.getElementById(asked)) {
  const [page] = [...document.querySelectorAll("article a[href*='#irp_hf.']")]
    .filter((link) => `${asked}.`.startsWith(`${decodeURIComponent(link.hash.slice(1))}.`))
    .sort((one, other) => other.hash.length - one.hash.length);
  if (page) location.replace(new URL(`#${asked}`, page.href));
}
