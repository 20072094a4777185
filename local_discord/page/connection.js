// The one WebSocket to the server. It comes back by itself; what is asked meanwhile waits for it.

/** What the server refused, in a sentence for people. */
export class RefusedError extends Error {}

const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 2000;
const PATIENCE = 60_000;

export class Connection {
  /**
   * @param {() => { user: string | null }} introduce
   * @param {(event: string, data: any) => void} onEvent
   * @param {(status: "open" | "closed" | "refused") => void} onStatus
   */
  constructor(introduce, onEvent, onStatus) {
    this.introduce = introduce;
    this.onEvent = onEvent;
    this.onStatus = onStatus;
    this.pause = FIRST_PAUSE;
    this.next = 1;
    /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
    this.asked = new Map();
    /** @type {(() => void)[]} */
    this.waiting = [];
    this.open = false;
    /** @type {WebSocket | null} */
    this.socket = null;
  }

  connect() {
    const address = new URL("api/socket", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    this.socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ do: "enter", ...this.introduce() }));
    socket.onmessage = (message) => this.receive(JSON.parse(message.data));
    socket.onclose = () => this.closed(socket);
  }

  /** Introduce ourselves anew, such as after a change of person. */
  restart() {
    this.pause = 0;
    this.socket?.close();
  }

  /** @param {any} packet */
  receive(packet) {
    if (packet.re !== undefined) {
      const asked = this.asked.get(packet.re);
      this.asked.delete(packet.re);
      if (packet.error) asked?.reject(new RefusedError(packet.error));
      else asked?.resolve(packet.ok);
      return;
    }
    this.onEvent(packet.event, packet.data);
    if (packet.event === "ENTERED") {
      this.open = true;
      this.pause = FIRST_PAUSE;
      this.onStatus("open");
      for (const go of this.waiting.splice(0)) go();
    }
  }

  /** @param {WebSocket} socket */
  closed(socket) {
    if (socket !== this.socket) return;
    this.open = false;
    for (const asked of this.asked.values()) asked.reject(new Error("The connection broke before the answer came; look whether it arrived."));
    this.asked.clear();
    if (this.pause) this.onStatus("closed");
    fetch("api/limits").then((answer) => answer.status === 404 && this.onStatus("refused"), () => null);
    setTimeout(() => this.connect(), this.pause);
    this.pause = Math.min(Math.max(this.pause, FIRST_PAUSE) * 2, LONGEST_PAUSE);
  }

  /** Ask the server to do something; reject with a sentence when it refuses. @param {string} what @param {Record<string, any>} [details] @returns {Promise<any>} */
  async request(what, details = {}) {
    if (!this.open) await this.connected();
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.asked.set(id, { resolve, reject });
      this.socket?.send(JSON.stringify({ ...details, do: what, id }));
    });
  }

  /** @returns {Promise<void>} */
  connected() {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("There is no connection; is the program still running?")), PATIENCE);
      this.waiting.push(() => {
        clearTimeout(late);
        resolve();
      });
    });
  }

  /** Put a file on the server, for use in a channel. @param {File} file @param {string} channel @returns {Promise<import("./types").Attachment>} */
  async upload(file, channel) {
    const query = new URLSearchParams({ name: file.name, channel, user: this.introduce().user ?? "" });
    const answer = await fetch(`api/uploads?${query}`, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
    if (!answer.ok) throw new RefusedError((await answer.text()).slice(0, 300));
    return answer.json();
  }
}
