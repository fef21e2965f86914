//! Sockets by the addresses of the configuration: `unix:/path` and `inet:host:port`.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use listenfd::ListenFd;
use rustix::net::RecvFlags;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Address {
    /// `unix:/path`
    Unix(PathBuf),
    /// `inet:host:port`
    Inet(String),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("inet", host)) if has_port(host) => Ok(Self::Inet(host.to_owned())),
            _ => Err("not of the form unix:/path or inet:host:port".to_owned()),
        }
    }
}

impl Address {
    /// Whether what is sent there stays on this machine, as far as the address tells.
    pub fn is_local(&self) -> bool {
        let Self::Inet(host) = self else { return true };
        let host = host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|host| host.is_loopback())
    }
}

fn has_port(host: &str) -> bool {
    let split = host.rsplit_once(':');
    split.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|problem| format!("{text:?} is {problem}"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inet(host) => write!(f, "inet:{host}"),
        }
    }
}

/// Who is at the other end of a connection: all connections of one host or one local user count as
/// one client's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A local process of the user with this number.
    User(u32),
    /// A process on the host with this address.
    Host(IpAddr),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(uid) => write!(f, "uid:{uid}"),
            Self::Host(host) => host.fmt(f),
        }
    }
}

/// A socket that takes connections.
#[derive(Debug)]
pub enum Listener {
    /// On a path.
    Unix(UnixListener),
    /// On a port.
    Inet(TcpListener),
}

impl Listener {
    /// Listens at `address`. The socket file of a server that is gone is replaced; `mode` are its
    /// permission bits.
    ///
    /// # Errors
    /// When somebody else listens there, or the kernel refuses.
    pub async fn bind(address: &Address, mode: u32) -> io::Result<Self> {
        match address {
            Address::Unix(path) => {
                remove_stale(path)?;
                let listener = UnixListener::bind(path)?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
                Ok(Self::Unix(listener))
            }
            Address::Inet(host) => Ok(Self::Inet(TcpListener::bind(host.as_str()).await?)),
        }
    }

    /// The sockets that the service manager opened for this process (sd_listen_fds(3)), empty when it
    /// opened none.
    ///
    /// # Errors
    /// When one of them is no listening stream socket.
    pub fn inherited() -> io::Result<Vec<Self>> {
        let mut inherited = ListenFd::from_env();
        let mut listeners = Vec::new();
        for index in 0..inherited.len() {
            let unix = inherited.take_unix_listener(index);
            let listener = match unix {
                Ok(Some(unix)) => {
                    unix.set_nonblocking(true)?;
                    Self::Unix(UnixListener::from_std(unix)?)
                }
                _ => {
                    let inet = inherited.take_tcp_listener(index)?;
                    let inet = inet.ok_or(io::ErrorKind::NotFound)?;
                    inet.set_nonblocking(true)?;
                    Self::Inet(TcpListener::from_std(inet)?)
                }
            };
            listeners.push(listener);
        }
        Ok(listeners)
    }

    /// The next connection.
    ///
    /// # Errors
    /// What the kernel answers; most of it passes.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::User(stream.peer_cred()?.uid());
                Ok((Stream::Unix(stream), peer))
            }
            Self::Inet(listener) => {
                let (stream, from) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Stream::Inet(stream), Peer::Host(from.ip().to_canonical())))
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        match self {
            Self::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                Address::Unix(path.unwrap_or(Path::new("/")).to_owned()).to_string()
            }
            Self::Inet(listener) => {
                listener.local_addr().map_or_else(|_| "inet:?".into(), |a| format!("inet:{a}"))
            }
        }
    }
}

/// Removes a socket file that nobody listens at any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens there")),
        Err(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(cause) => Err(cause),
    }
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// To a path.
    Unix(UnixStream),
    /// To a port.
    Inet(TcpStream),
}

impl Stream {
    /// Connects to `address`.
    ///
    /// # Errors
    /// When nobody answers there.
    pub async fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Unix(path) => Ok(Self::Unix(UnixStream::connect(path).await?)),
            Address::Inet(host) => {
                let stream = TcpStream::connect(host.as_str()).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Inet(stream))
            }
        }
    }

    /// Who is at the other end.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn peer(&self) -> io::Result<Peer> {
        Ok(match self {
            Self::Unix(stream) => Peer::User(stream.peer_cred()?.uid()),
            Self::Inet(stream) => Peer::Host(stream.peer_addr()?.ip().to_canonical()),
        })
    }

    /// Has what was received acknowledged at once, until the next read: a peer that sends in small pieces
    /// waits for it (Nagle's algorithm, RFC 9293 §3.7.4).
    pub fn acknowledge(&self) {
        if let Self::Inet(stream) = self {
            let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
        }
    }

    /// Sends what the kernel takes at once. Nobody waits, and nobody is told when it was not all.
    pub fn try_send(&self, bytes: &[u8]) {
        let _ = match self {
            Self::Unix(stream) => stream.try_write(bytes),
            Self::Inet(stream) => stream.try_write(bytes),
        };
    }

    /// Waits until something has arrived or the peer has hung up; whether it is the latter. What has
    /// arrived stays to be read.
    pub async fn is_hung_up(&self) -> bool {
        loop {
            let arrived = match self {
                Self::Unix(stream) => match stream.ready(Interest::READABLE).await {
                    Ok(_) => stream.try_io(Interest::READABLE, || peek(stream)),
                    Err(cause) => Err(cause),
                },
                Self::Inet(stream) => match stream.ready(Interest::READABLE).await {
                    Ok(_) => stream.try_io(Interest::READABLE, || peek(stream)),
                    Err(cause) => Err(cause),
                },
            };
            match arrived {
                // It was ready before what was there was read.
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
                arrived => return !arrived.is_ok_and(|octets| octets > 0),
            }
        }
    }

    /// Whether nothing has arrived and nobody has hung up since the last read.
    pub fn is_quiet(&self) -> bool {
        let mut octet = [0];
        let read = match self {
            Self::Unix(stream) => stream.try_read(&mut octet),
            Self::Inet(stream) => stream.try_read(&mut octet),
        };
        read.is_err_and(|cause| cause.kind() == io::ErrorKind::WouldBlock)
    }
}

/// How much there is to read, of one octet.
fn peek(socket: impl AsFd) -> io::Result<usize> {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let (octets, _) = rustix::net::recv(socket, &mut [0; 1], flags)?;
    Ok(octets)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Inet(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Inet(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Inet(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Inet(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_peer_is_gone_when_he_is() {
        let (mut peer, own) = UnixStream::pair().unwrap();
        let mut own = Stream::Unix(own);
        peer.write_all(b"hello").await.unwrap();
        assert!(!own.is_hung_up().await);
        let mut octets = [0; 5];
        own.read_exact(&mut octets).await.unwrap();
        // All of it was read, and he is still there.
        let mut waiting = std::pin::pin!(own.is_hung_up());
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("he has said nothing"),
            () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {}
        }
        drop(peer);
        assert!(waiting.await);
    }

    #[test]
    fn addresses() {
        assert_eq!("unix:/run/x".parse(), Ok(Address::Unix("/run/x".into())));
        assert_eq!("inet:127.0.0.1:24".parse(), Ok(Address::Inet("127.0.0.1:24".into())));
        for (text, is_local) in
            [("unix:/run/x", true), ("inet:[::1]:24", true), ("inet:store.test:24", false)]
        {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.is_local()), (text, is_local));
        }
        for bad in ["", "unix:run", "inet:host", "inet::24", "inet:host:port", "/run/x", "tcp:x:1"]
        {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
