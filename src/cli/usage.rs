//! The commands and their arguments, as `--help` shows them.

pub(super) mod recovery;

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::config::PATH_VARIABLE;
use crate::sys::socket::Address;

use recovery::Recovery;

const EXAMPLES: &str = "\
Examples:
  nightsafe setup                              make a site's keys and say what to back up
  nightsafe enroll alice@example.org           make a user's keys; her mail is sealed from now on
  nightsafe deliver --recipient alice@example.org --maildir '/var/mail/{user}' < message
  nightsafe unseal sealed.eml                  ask for the password and show the original
  nightsafe check                              look for what is wrong and how to mend it";

/// Mail sealed for its owner the moment it is delivered.
#[derive(Debug, Parser)]
#[command(name = "nightsafe", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub(super) struct Usage {
    /// The configuration file [default: /etc/nightsafe/nightsafe.toml if there is one]
    #[arg(long, value_name = "FILE", env = PATH_VARIABLE, hide_env = true, global = true)]
    pub(super) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the key directory, the pepper, the provisional key and the sealing key
    Setup(Setup),
    /// Make a user's key pair; mail to the user is sealed from then on
    Enroll(Enroll),
    /// List the accounts
    List,
    /// Take a user's keys out of use and archive them
    Remove(User),
    /// Call a user another name
    Rename(Rename),
    /// Change the password that unlocks a user's keys
    Passwd(Passwd),
    /// App passwords and recovery codes: other ways to a user's keys
    Slot(Slots),
    /// Make a new key pair for later mail
    Rotate(Rotate),
    /// The way back to a user's keys when the password is lost
    Recovery(Recovery),
    /// Take a message on standard input, seal it, and hand it on (MTA pipe transport)
    Deliver(Deliver),
    /// Serve LMTP before the mail store: seal every message and hand it on (pre-delivery hook)
    #[command(after_help = "\
Stays in the foreground. SIGTERM finishes what is in flight and ends it, SIGHUP reads the
configuration again.
Examples:
  nightsafe lmtp
  nightsafe check                              say what the store offers
  systemctl reload nightsafe-lmtp              read the configuration again")]
    Lmtp,
    /// Serve IMAP before the mail store: mail clients see the original messages (proxy)
    #[command(after_help = "\
Stays in the foreground. A client logs in with his own password, which the store has to accept; the
agent unlocks his keys with it, and forgets them when the last client is gone. SIGTERM ends it,
SIGHUP reads the configuration again for the clients to come.
Examples:
  nightsafe imap
  nightsafe check                              say whether store, certificates and agent are there")]
    Imap,
    /// Hold the keys of users who are logged in, and open what is asked of them
    Agent(Agent),
    /// Unlock a user's keys at the agent
    Unlock(Unlock),
    /// Wipe a user's keys from the agent's memory, or everybody's
    Lock(Lock),
    /// Show who is unlocked at the agent
    Status(Status),
    /// Open a sealed message
    Unseal(Unseal),
    /// Print a user's age identity, which opens the mail without nightsafe
    Identity(Identity),
    /// Show what a sealed message tells without a key
    Inspect(Inspect),
    /// Check configuration, modes and keys
    Check,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Never overwrites anything. Run it again to see what is there. Run by root, it gives the key records, the
pepper and the provisional key to [agent] user, once there is one.")]
pub(super) struct Setup {
    /// The group that delivery runs as: it may read the sealing key and the public keys
    #[arg(long, value_name = "GROUP")]
    pub(super) delivery_group: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A provisional account needs no password: its mail is sealed at once, and the first login locks its keys
under the login password. Until then whoever has the site's provisional key can open its mail. With a
list, who is enrolled already is left alone.

Examples:
  nightsafe enroll alice@example.org
  nightsafe enroll alice@example.org --recovery-code
  pass show mail/alice | nightsafe enroll alice@example.org --password-file -
  nightsafe enroll --provisional --from users")]
pub(super) struct Enroll {
    /// The login name or address
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    pub(super) user: Option<String>,
    /// Print a recovery code, this once: it unlocks the keys when the password is lost
    #[arg(long, conflicts_with = "provisional")]
    pub(super) recovery_code: bool,
    /// Without a password, until the first login
    #[arg(long, conflicts_with = "password_file")]
    pub(super) provisional: bool,
    /// Everybody in FILE, one name in each line, from standard input for "-"
    #[arg(long, value_name = "FILE", requires = "provisional")]
    pub(super) from: Option<PathBuf>,
    #[command(flatten)]
    pub(super) password: PasswordFile,
}

#[derive(Debug, Args)]
pub(super) struct PasswordFile {
    /// Read the password from FILE, from standard input for "-"; one trailing line end is dropped
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Stays in the foreground. It listens at [agent] socket, keeps unlocked keys in locked memory, and gives
out content keys, never a private key. SIGTERM wipes everything and ends it; SIGHUP reads the
configuration again, the recovery key included, but for the rest of [keys], the socket and the bounds
of Argon2.")]
pub(super) struct Agent {
    /// Run [keys] after_write and read the configuration for an agent: it starts this by itself
    #[arg(long, hide = true)]
    pub(super) runner: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without --hold the keys are wiped [agent] linger seconds later, unless a reader takes a lease.
Examples:
  nightsafe unlock alice@example.org
  nightsafe unlock alice@example.org --hold    until it is ended, however it ends")]
pub(super) struct Unlock {
    /// The login name or address
    pub(super) user: String,
    /// Stay, and hold the keys for as long
    #[arg(long)]
    pub(super) hold: bool,
    #[command(flatten)]
    pub(super) password: PasswordFile,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("who").args(["user", "all"]).required(true))]
pub(super) struct Lock {
    /// The login name or address
    pub(super) user: Option<String>,
    /// Everybody
    #[arg(long)]
    pub(super) all: bool,
}

#[derive(Debug, Args)]
pub(super) struct Status {
    /// The login name or address [default: everybody who is unlocked]
    pub(super) user: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct User {
    /// The login name or address
    pub(super) user: String,
}

#[derive(Debug, Args)]
pub(super) struct Rename {
    /// The name so far
    pub(super) old: String,
    /// The name from now on
    pub(super) new: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Either the old or the new password unlocks the keys, whatever happens meanwhile. No mail is sealed
again. Where the old password has become known, rotate the keys, too.

--stdin is what PostfixAdmin's mailbox_postpassword_script gets.

A panel that changes the login password itself does it in three steps, keys first, as a user whom [agent]
allow lets change:
  nightsafe passwd USER --stage     old, NUL, new, NUL on standard input; prints the name of the change
  ... the login password is changed ...
  nightsafe passwd USER --commit    or --abort; the name of the change on standard input
Status 67 of --stage says that the user has no keys, 77 that the old password does not unlock them: then
there is nothing to commit. After any other failure the login password must not be changed.")]
#[command(group = ArgGroup::new("step").args(["stage", "commit", "abort"])
    .conflicts_with_all(["stdin", "password_file", "new_password_file"]))]
pub(super) struct Passwd {
    /// The login name or address
    pub(super) user: String,
    /// Read the old password from OLD, from standard input for "-"
    #[arg(long, value_name = "OLD")]
    pub(super) password_file: Option<PathBuf>,
    /// Read the new password from NEW, from standard input for "-"
    #[arg(long, value_name = "NEW")]
    pub(super) new_password_file: Option<PathBuf>,
    /// Read both from standard input: the old one, a NUL, the new one, a NUL
    #[arg(long, conflicts_with_all = ["password_file", "new_password_file"])]
    pub(super) stdin: bool,
    /// Have the agent prepare a change, before the login password is changed
    #[arg(long)]
    pub(super) stage: bool,
    /// The login password was changed: end the change
    #[arg(long)]
    pub(super) commit: bool,
    /// The login password was not changed: take the change back
    #[arg(long)]
    pub(super) abort: bool,
}

#[derive(Debug, Args)]
pub(super) struct Slots {
    #[command(subcommand)]
    pub(super) action: SlotAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum SlotAction {
    /// List a user's slots
    List(User),
    /// Make an app password or a recovery code; it is printed this once
    Add(AddSlot),
    /// Remove an app password or a recovery code, and rotate the keys
    Remove(RemoveSlot),
}

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").args(["app", "recovery_code"]).required(true),
    after_help = "\
An app password opens the mail of one program or device, and can be removed by itself. A recovery code is
good for one use and takes the place of the one before.

Examples:
  nightsafe slot add alice@example.org --app phone
  nightsafe slot add alice@example.org --recovery-code"
)]
pub(super) struct AddSlot {
    /// The login name or address
    pub(super) user: String,
    /// An app password called NAME
    #[arg(long, value_name = "NAME")]
    pub(super) app: Option<String>,
    /// A recovery code
    #[arg(long)]
    pub(super) recovery_code: bool,
    #[command(flatten)]
    pub(super) password: PasswordFile,
}

#[derive(Debug, Args)]
pub(super) struct RemoveSlot {
    /// The login name or address
    pub(super) user: String,
    /// Its id or its name, as `slot list` shows them
    pub(super) slot: String,
    #[command(flatten)]
    pub(super) password: PasswordFile,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Whoever has an old password or a removed app password, and an old copy of the key record, opens no mail
that comes after. Older mail stays readable.")]
pub(super) struct Rotate {
    /// The login name or address
    pub(super) user: String,
    #[command(flatten)]
    pub(super) password: PasswordFile,
}

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("next hop").args(["lmtp", "maildir", "command"]),
    after_help = "\
The next hop is standard output unless one is named. Status 0 means that every recipient's mail is with
the next hop; 75 that the MTA has to try again; 67 or 69 that it was refused for good. With several
recipients the worst one counts: give one at a time.

Examples:
  nightsafe deliver --sender ${sender} --recipient ${recipient} --lmtp unix:/run/cyrus/socket/lmtp
  nightsafe deliver --recipient ${recipient} --maildir /var/mail/{user}
  nightsafe deliver --recipient ${recipient} -- /usr/lib/dovecot/dovecot-lda -d {user}"
)]
pub(super) struct Deliver {
    /// A recipient of the envelope; once or more
    #[arg(long = "recipient", value_name = "ADDR", required = true, allow_hyphen_values = true,
        value_parser = address())]
    pub(super) recipients: Vec<String>,
    /// The envelope sender, empty for the null sender; it is sealed inside as the Return-Path
    #[arg(long, value_name = "ADDR", allow_hyphen_values = true, value_parser = address())]
    pub(super) sender: Option<String>,
    /// Hand on to the LMTP server at unix:/path or inet:host:port
    #[arg(long, value_name = "ADDR")]
    pub(super) lmtp: Option<Address>,
    /// Hand on into a Maildir, which is made if need be; DIR may hold {user}
    #[arg(long, value_name = "DIR")]
    pub(super) maildir: Option<String>,
    /// Hand on to a command's standard input; arguments may hold {user}, {recipient} and {sender}
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<String>,
}

/// Addresses are octets to an MTA; one that is not UTF-8 is no user's, but must not stop the mail of
/// others.
fn address() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().map(|address| address.to_string_lossy().into_owned())
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nightsafe unseal message.eml > original.eml
  nightsafe unseal --identity key.txt < message.eml
Who is unlocked at the agent (nightsafe unlock) is not asked for a password.")]
pub(super) struct Unseal {
    /// Whose message it must be [default: whoever it was sealed for]
    #[arg(long)]
    pub(super) user: Option<String>,
    /// Open with the age identities in FILE instead of a password
    #[arg(long, value_name = "FILE", conflicts_with = "password_file")]
    pub(super) identity: Option<PathBuf>,
    /// Open it even if this site did not sign it; what it shows may be forged
    #[arg(long)]
    pub(super) allow_unsigned: bool,
    #[command(flatten)]
    pub(super) password: PasswordFile,
    /// The sealed message [default: standard input]
    pub(super) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Whoever has what this prints can read all of the user's mail, for good. With it, stock tools open a
sealed message's second part:
  base64 -di part2 | age -d -i identity.txt | zstd -d > original.eml")]
pub(super) struct Identity {
    /// The login name or address
    pub(super) user: String,
    #[command(flatten)]
    pub(super) password: PasswordFile,
}

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The sealed message [default: standard input]
    pub(super) file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn arguments_are_consistent() {
        super::Usage::command().debug_assert();
    }
}
