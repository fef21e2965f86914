//! Certificates that are made for a test, and OpenSSL's own client.

use super::process::Server;
use super::users::users;
use super::{Site, mode, success};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// An authority, and a certificate of it for this machine's loopback addresses.
pub struct Certificates {
    pub authority: PathBuf,
    pub chain: PathBuf,
    pub key: PathBuf,
    authority_key: PathBuf,
}

impl Certificates {
    /// Makes them below the site's `etc`. The key is the proxy's.
    pub fn make(site: &Site, name: &str) -> Self {
        let at = |end: &str| site.join(&format!("etc/{name}-{end}.pem"));
        let authority_key = site.join(&format!("private/{name}-ca.key"));
        let made = Self { authority: at("ca"), chain: at("chain"), key: at("key"), authority_key };
        let new = |key: &PathBuf, certificate: &PathBuf, subject: &str, basic: &str| {
            let mut command = Command::new("openssl");
            command.args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2", "-sha256"]);
            command.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", subject]);
            command.args(["-addext", &format!("basicConstraints=critical,{basic}")]);
            command.arg("-keyout").arg(key).arg("-out").arg(certificate).stdin(Stdio::null());
            command
        };
        let subject = format!("/CN=authority {name}");
        success(&new(&made.authority_key, &made.authority, &subject, "CA:TRUE").output().unwrap());
        let mut command = new(&made.key, &made.chain, "/CN=localhost", "CA:FALSE");
        command.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
        command.arg("-CA").arg(&made.authority).arg("-CAkey").arg(&made.authority_key);
        success(&command.output().unwrap());
        for path in [&made.authority, &made.chain] {
            mode(path, 0o644);
        }
        chown(&made.key, Some(users().proxy.uid), None).unwrap();
        mode(&made.key, 0o600);
        made
    }

    /// Makes the certificate anew: good from one time until another, as date(1) takes them. It says when
    /// it ends.
    pub fn renew(&self, site: &Site, begins: &str, ends: &str) -> String {
        let date = |time: &str, form: &str| {
            let output = Command::new("date").args(["--utc", "--date", time, form]).output();
            String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
        };
        // The second in which it ends is the same in both forms.
        let ends = date(ends, "+%Y-%m-%dT%H:%M:%SZ");
        let folder = site.join("private/renewed");
        fs::create_dir_all(&folder).unwrap();
        let below = |name: &str| folder.join(name);
        fs::write(below("index"), "").unwrap();
        let settings = format!(
            "[ca]\ndefault_ca = own\n[own]\ndatabase = {0}/index\nnew_certs_dir = {0}\nrand_serial = yes\n\
             default_md = sha256\nunique_subject = no\npolicy = names\nx509_extensions = more\n[names]\n\
             commonName = supplied\n[more]\nsubjectAltName = DNS:localhost\n",
            folder.display()
        );
        fs::write(below("conf"), settings).unwrap();
        let mut asking = Command::new("openssl");
        asking.args(["req", "-new", "-subj", "/CN=localhost", "-key"]).arg(&self.key);
        success(&asking.arg("-out").arg(below("request")).output().unwrap());
        let mut signing = Command::new("openssl");
        signing.args(["ca", "-batch", "-notext", "-config"]).arg(below("conf"));
        signing.arg("-cert").arg(&self.authority).arg("-keyfile").arg(&self.authority_key);
        signing.arg("-in").arg(below("request")).arg("-out").arg(&self.chain);
        signing.args(["-startdate", &date(begins, "+%Y%m%d%H%M%SZ")]);
        signing.args(["-enddate", &date(&ends, "+%Y%m%d%H%M%SZ")]);
        success(&signing.stdin(Stdio::null()).output().unwrap());
        ends
    }

    /// As `[imap]` has them.
    pub fn settings(&self) -> String {
        format!(
            "tls_certificate = \"{}\"\ntls_key = \"{}\"",
            self.chain.display(),
            self.key.display()
        )
    }

    /// A client over TLS, which believes this authority alone: with STARTTLS after a beginning in the
    /// clear, which it reads the greeting of, or TLS from the first octet on. The program ends with the value.
    pub fn client(&self, port: u16, starts_in_clear: bool) -> (UnixStream, Server) {
        self.client_from("127.0.0.1", port, starts_in_clear)
    }

    /// The same from another address of the loopback interface.
    pub fn client_from(
        &self,
        host: &str,
        port: u16,
        starts_in_clear: bool,
    ) -> (UnixStream, Server) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let theirs = OwnedFd::from(theirs);
        let mut command = Command::new("openssl");
        command.args([
            "s_client",
            "-quiet",
            "-verify_return_error",
            "-verify_hostname",
            "localhost",
        ]);
        command
            .arg("-connect")
            .arg(format!("127.0.0.1:{port}"))
            .arg("-CAfile")
            .arg(&self.authority);
        command.arg("-bind").arg(format!("{host}:0"));
        if starts_in_clear {
            command.args(["-starttls", "imap"]);
        }
        command.stdin(theirs.try_clone().unwrap()).stdout(theirs).stderr(Stdio::null());
        let server = Server::start(&mut command);
        drop(command);
        (ours, server)
    }
}
