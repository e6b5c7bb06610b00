/* Runs the worker of the search in a frame, since browsers allow no workers in pages from disk. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.appendChild(frame);
      this.scope = frame.contentWindow;
      // A written page stays. Firefox replaces the first empty one.
      this.scope.document.open();
      this.scope.document.write("<body></body>");
      this.scope.document.close();
      const load = (source) =>
        new Promise((resolve, reject) => {
          const script = this.scope.document.createElement("script");
          script.onload = resolve;
          script.onerror = reject;
          script.src = source;
          this.scope.document.body.appendChild(script);
        });
      this.scope.importScripts = (...urls) => Promise.all(urls.map(load));
      this.scope.postMessage = (data) => this.answer(data);
      this.ready = load(url);
    }

    answer(data) {
      const event = new MessageEvent("message", { data });
      this.dispatchEvent(event);
      if (this.onmessage) this.onmessage(event);
    }

    postMessage(data) {
      this.ready.then(() =>
        this.scope.dispatchEvent(new MessageEvent("message", { data }))
      );
    }

    terminate() {
      this.scope.frameElement.remove();
    }
  };
}
