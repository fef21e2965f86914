// What Thunderbird is told to do: its own functions, called one after the other.
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");

function server() {
  return MailServices.accounts.findServer(Services.prefs.getCharPref("mail.server.server1.userName"), "127.0.0.1", "imap");
}

function inbox() {
  return server().rootFolder.getChildNamed("INBOX");
}

// A listener of whatever takes a while, and its end.
function ending() {
  const { promise, resolve, reject } = Promise.withResolvers();
  const end = status => (Components.isSuccessCode(status) ? resolve() : reject(new Error(`status ${status.toString(16)}`)));
  const listener = {
    QueryInterface: ChromeUtils.generateQI(["nsIUrlListener", "nsIMsgCopyServiceListener"]),
    OnStartRunningUrl() {},
    OnStopRunningUrl: (url, status) => end(status),
    onStartCopy() {},
    onProgress() {},
    setMessageKey() {},
    getMessageId() { return ""; },
    onStopCopy: end,
  };
  return { listener, promise };
}

async function until(what, holds) {
  for (let tries = 0; tries < 400; tries++) {
    if (holds()) {
      return;
    }
    await new Promise(resolve => after(100, resolve));
  }
  throw new Error(`never: ${what}`);
}

function after(milliseconds, then) {
  const timer = Cc["@mozilla.org/timer;1"].createInstance(Ci.nsITimer);
  timer.initWithCallback({ notify: () => then(timer) }, milliseconds, Ci.nsITimer.TYPE_ONE_SHOT);
}

// The password is in memory only, as after it was asked for.
async function log_in(password) {
  server().password = password;
}

async function open_inbox() {
  server().performExpand(null);
  await until("the folders", () => server().rootFolder.hasSubFolders && ["INBOX", "Copies", "Moved"].every(name => server().rootFolder.containsChildNamed(name)));
  const { listener, promise } = ending();
  inbox().QueryInterface(Ci.nsIMsgImapMailFolder).updateFolderWithListener(null, listener);
  await promise;
}

async function fetch() {
  await open_inbox();
  inbox().setFlag(Ci.nsMsgFolderFlags.Offline);
  inbox().downloadMessagesForOffline([...inbox().messages], null);
  const is_here = header => header.flags & Ci.nsMsgMessageFlags.Offline;
  await until("all messages", () => [...inbox().messages].every(is_here));
  return inbox().getTotalMessages(false);
}

async function change(path) {
  await open_inbox();
  const headers = [...inbox().messages].sort((a, b) => a.messageKey - b.messageKey);
  const folder = name => server().rootFolder.getChildNamed(name);
  inbox().markMessagesFlagged([headers[0]], true);
  for (const [header, name, is_move] of [[headers[1], "Copies", false], [headers[2], "Moved", true]]) {
    const { listener, promise } = ending();
    MailServices.copy.copyMessages(inbox(), [header], folder(name), is_move, listener, null, false);
    await promise;
  }
  const deleted = ending();
  inbox().deleteMessages([headers[3]], null, true, false, deleted.listener, false);
  const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
  file.initWithPath(path);
  const { listener, promise } = ending();
  MailServices.copy.copyFileMessage(file, inbox(), null, false, 0, "", listener, null);
  await promise;
  const compacted = ending();
  inbox().compact(compacted.listener, null);
  await compacted.promise;
}
