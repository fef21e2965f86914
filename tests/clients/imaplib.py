"""client.py PORT USER PASSWORD-FILE TASK: fetches all of INBOX into messages/, or changes the mailbox."""

import imaplib
import sys
import time

port, user, password, task = sys.argv[1:]


def good(answer):
    status, data = answer
    if status != "OK":
        sys.exit(f"{status} {data}")
    return data


client = imaplib.IMAP4("127.0.0.1", int(port))
with open(password) as file:
    good(client.login(user, file.read()))
good(client.select("INBOX"))
if task == "fetch":
    for uid in good(client.uid("SEARCH", "ALL"))[0].split():
        # Metadata first, as scripts do that choose what they read.
        good(client.uid("FETCH", uid, "(FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE)"))
        data = good(client.uid("FETCH", uid, "(RFC822.SIZE BODY.PEEK[])"))
        before, message = data[0]
        size = int(before.split(b"RFC822.SIZE ")[1].split()[0])
        if size != len(message):
            sys.exit(f"UID {uid}: RFC822.SIZE is {size}, and there are {len(message)} octets")
        with open(f"messages/{uid.decode()}", "wb") as file:
            file.write(message)
else:
    good(client.uid("STORE", "1", "+FLAGS", "(\\Flagged)"))
    good(client.uid("COPY", "2", "Copies"))
    good(client.uid("MOVE", "3", "Moved"))
    good(client.uid("STORE", "4", "+FLAGS", "(\\Deleted)"))
    good(client.expunge())
    # imaplib makes CRLF of every line end.
    with open("append", "rb") as file:
        date = imaplib.Time2Internaldate(time.localtime())
        good(client.append("INBOX", "(\\Seen)", date, file.read()))
good(client.close())
client.logout()
