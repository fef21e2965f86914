//! Who listens at the agent's socket and is not the agent: somebody else, or an agent that does not answer.

use super::process::{Server, wait_for};
use super::users::User;
use super::{Site, mode};
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// Writes down what it is sent, and never answers.
const LISTEN: &str = r#"
use IO::Socket::UNIX;
my ($path, $heard) = @ARGV;
my $server = IO::Socket::UNIX->new(Local => $path, Listen => 16) or die "$path: $!";
chmod 0666, $path;
open(my $out, ">", $heard) or die "$heard: $!";
$out->autoflush(1);
my @open;
while (my $client = $server->accept) {
    print $out "connected\n";
    push @open, $client;
    fcntl($client, 4, 2048);
    for (1 .. 20) {
        my $said = "";
        print $out $said if sysread($client, $said, 65536);
        select(undef, undef, undef, 0.005);
    }
}
"#;

/// Listens while the value lives.
pub struct Listener {
    heard: std::path::PathBuf,
    _process: Server,
}

impl Listener {
    /// A process of this user, which never answers, at the agent's socket.
    pub fn start(site: &Site, user: &User) -> Self {
        let folder = site.join("agent");
        fs::create_dir_all(&folder).unwrap();
        mode(&folder, 0o755);
        chown(&folder, Some(user.uid), None).unwrap();
        let (socket, heard) = (folder.join("socket"), folder.join("heard"));
        let mut command = Command::new("perl");
        command.args(["-MIO::Handle", "-e", LISTEN]).args([&socket, &heard]);
        command.uid(user.uid).gid(user.gid).stdin(Stdio::null());
        let process = Server::start(&mut command);
        wait_for("a listener", String::new, || UnixStream::connect(&socket).ok());
        Self { heard, _process: process }
    }

    /// What it was sent so far.
    pub fn heard(&self) -> Vec<u8> {
        fs::read(&self.heard).unwrap()
    }
}
