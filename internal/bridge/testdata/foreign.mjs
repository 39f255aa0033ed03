// Pages that no vendor allows try to reach the bridge, by all that a page can send.
export default async ({ page, data, check }) => {
  // attempts runs in the page: what each try came to, and whether it read anything.
  const attempts = async ({ bridge, token, vendor }) => {
    const headers = { "Content-Type": "application/json", Authorization: `Bearer ${token}` };
    const body = JSON.stringify({ vendor });
    const tries = {
      "with CORS": () => fetch(`${bridge}/v1/containers`, { method: "POST", headers, body: "{}" }),
      "without a token": () => fetch(`${bridge}/v1/pair`, { method: "POST", headers: { "Content-Type": "application/json" }, body }),
      "as plain text": () => fetch(`${bridge}/v1/pair`, { method: "POST", body }),
      "opaque": () => fetch(`${bridge}/v1/pair`, { method: "POST", mode: "no-cors", body }),
      "GET": () => fetch(`${bridge}/v1/containers?token=${token}`),
    };
    const read = [];
    for (const [name, send] of Object.entries(tries)) {
      try {
        const answer = await send();
        if (answer.type !== "opaque") read.push(`${name}: ${answer.status} ${await answer.text()}`);
      } catch { /* as it should be */ }
    }
    navigator.sendBeacon(`${bridge}/v1/pair`, body);
    await new Promise((done) => {
      const image = new Image();
      image.onload = image.onerror = done;
      image.src = `${bridge}/v1/pair`;
    });
    await new Promise((done) => {
      let socket;
      try {
        socket = new WebSocket(bridge.replace("http:", "ws:") + "/v1/pair");
      } catch {
        return done();
      }
      socket.onopen = () => { read.push("a socket"); done(); };
      socket.onerror = done;
    });
    await new Promise((done) => {
      const frame = document.createElement("iframe");
      frame.name = "form";
      document.body.append(frame);
      frame.onload = done;
      const form = document.createElement("form");
      form.method = "post";
      form.enctype = "text/plain";
      form.target = "form";
      form.action = `${bridge}/v1/pair`;
      document.body.append(form);
      form.submit();
    });
    return { read, origin: globalThis.origin };
  };

  if (data.walk === "allowed") {
    await page.goto("https://licenses.example/");
    const { read } = await page.evaluate(attempts, data);
    check(read.some((line) => line.includes("with CORS: 200")), `the allowed page was not answered: ${read}`);
    return;
  }
  for (const foreign of data.pages) {
    await page.goto(foreign.URL);
    const { read, origin } = await page.evaluate(attempts, data);
    check(origin === foreign.Origin, `${foreign.Name}: the browser calls it ${origin}`);
    check(read.length === 0, `${foreign.Name} read ${read}`);
  }

  // The attacker's own page, and then his name leads here: the same origin.
  await page.route(`${data.rebound}/`, (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html><title>page</title>" }));
  await page.goto(`${data.rebound}/`);
  const answer = await page.evaluate(async ({ token, vendor }) => {
    const answer = await fetch("/v1/pair", { method: "POST", headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` }, body: JSON.stringify({ vendor }) });
    return { status: answer.status, text: await answer.text() };
  }, data);
  check(answer.status === 421 && answer.text === "", `the rebound name was answered ${answer.status} ${answer.text}`);
};
