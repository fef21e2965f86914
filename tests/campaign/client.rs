//! One connection of a sender to an LMTP server (RFC 2033), and what the server said last of each
//! recipient.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::site::smtp::stuffed;

/// Longer than nightsafe may take for anything here: a server that is silent is a failed test.
const SILENCE: Duration = Duration::from_secs(45);

/// What a sender knows of one recipient of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing: the connection was lost before the reply. It may be delivered or not.
    Nothing,
    /// 4xx
    Later,
    /// 250 after the data. Never to be sent again.
    Taken,
    /// 5xx, and the reply
    Never(String),
}

impl Said {
    /// Whether there is nothing left to do.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Taken | Self::Never(_))
    }
}

#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects and says hello.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        let mut client = Self { stream: BufReader::new(stream) };
        client.must_say("220")?;
        client.write(b"LHLO client.example.net\r\n")?;
        client.must_say("250")?;
        Ok(client)
    }

    /// Sends a message to these recipients. What was said is put into `said`, one for each of them.
    ///
    /// # Errors
    /// When the connection is lost, or of no use any more. What was said until then is said.
    pub fn send(
        &mut self,
        sender: &str,
        recipients: &[String],
        message: &[u8],
        said: &mut [Said],
    ) -> io::Result<()> {
        let mut commands = format!("MAIL FROM:<{sender}>\r\n");
        for recipient in recipients {
            commands.push_str(&format!("RCPT TO:<{recipient}>\r\n"));
        }
        commands.push_str("DATA\r\n");
        self.write(commands.as_bytes())?;
        let mail = self.reply()?;
        let mut accepted = Vec::new();
        for (index, said) in said.iter_mut().enumerate() {
            // Whoever does not take the sender need not be asked about recipients.
            let reply = if mail.starts_with('2') { self.reply()? } else { mail.clone() };
            if reply.starts_with('2') {
                accepted.push(index);
            } else {
                *said = judged(&reply)?;
            }
        }
        if !mail.starts_with('2') {
            return Err(io::Error::other("the sender was not taken"));
        }
        let data = self.reply()?;
        if !data.starts_with("354") {
            for index in accepted {
                said[index] = judged(&data)?;
            }
            // The sender of a transaction without a recipient is still there.
            self.write(b"RSET\r\n")?;
            return self.must_say("250");
        }
        assert!(!accepted.is_empty(), "DATA without a recipient: {data}");
        self.write(&stuffed(message))?;
        for index in accepted {
            let reply = self.reply()?;
            said[index] = if reply.starts_with("250") { Said::Taken } else { judged(&reply)? };
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    fn must_say(&mut self, code: &str) -> io::Result<()> {
        let reply = self.reply()?;
        if reply.starts_with(code) { Ok(()) } else { Err(io::Error::other(reply)) }
    }

    /// The last line of a reply.
    fn reply(&mut self) -> io::Result<String> {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            if !line.ends_with("\r\n") {
                // Half a reply is none.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line);
            }
        }
    }
}

/// What a reply other than yes says. 421 speaks of the connection (RFC 5321 §3.8).
fn judged(reply: &str) -> io::Result<Said> {
    match reply.as_bytes().first() {
        _ if reply.starts_with("421") => Err(io::Error::other(reply.to_owned())),
        Some(b'4') => Ok(Said::Later),
        Some(b'5') => Ok(Said::Never(reply.trim_end().to_owned())),
        _ => panic!("a reply that is none: {reply:?}"),
    }
}
