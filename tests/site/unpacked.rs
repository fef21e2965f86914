//! Servers that look for their parts at absolute paths, run out of the folder they were unpacked into.
//!
//! Dovecot and Exim have the paths of their programs, plugins and files built in. So they are started
//! with folders laid over those of the machine, in a mount namespace of their own: they find themselves
//! installed, and the machine has nothing of them.

use super::{Site, servers};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// Arguments: pairs of a folder and what it is laid over, a dash, the program and its arguments. The
/// process id stays.
const WITH_LAYERS: &str = r#"
set -e
while [ "$1" != - ]; do
    mount -t overlay -o "ro,lowerdir=$1:$2" overlay "$2"
    shift 2
done
shift
exec "$@"
"#;

/// A command that finds the servers in `/usr`, and these files in `/etc`. Its system log is the site's.
pub fn command(site: &Site, etc: Option<&Path>, program: impl AsRef<OsStr>) -> Command {
    let mut command = site.command("sh");
    command.args(["-c", WITH_LAYERS, "sh"]).arg(servers().join("usr")).arg("/usr");
    if let Some(etc) = etc {
        command.arg(etc).arg("/etc");
    }
    command.arg("-").arg(program);
    command
}

/// A client's program that finds itself installed in `/usr`, with the machine's own `/dev` and log: it plays
/// another machine.
pub fn client(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", WITH_LAYERS, "sh"]);
    command.arg(servers().join("usr")).arg("/usr").arg("-").arg(program);
    command
}
