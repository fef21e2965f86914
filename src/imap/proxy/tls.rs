//! TLS (RFC 8446, RFC 8314) towards clients and towards the store.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config;
use crate::sys::file::{self, FileError};
use crate::sys::socket::Stream;

use super::transport::Transport;

/// The largest file of certificates, in octets.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// What is needed to begin TLS on either side.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: Option<TlsAcceptor>,
    store: Option<(TlsConnector, ServerName<'static>)>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("accepts", &self.acceptor.is_some()).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// Where a file cannot be read, has not in it what it should, or a certificate is missing that
    /// `listen` needs.
    pub(super) fn open(settings: &config::Imap) -> Result<Self, TlsProblem> {
        let has_certificate = !settings.tls_certificate.as_os_str().is_empty();
        if settings.listen.iter().any(|endpoint| endpoint.is_tls) && !has_certificate {
            return Err(TlsProblem::NoCertificate);
        }
        let acceptor = has_certificate.then(|| acceptor(settings)).transpose()?;
        Ok(Self { acceptor, ..Self::of_store(settings)? })
    }

    /// Reads what it takes to ask the store, and no more.
    ///
    /// # Errors
    /// As [`Tls::open`].
    pub(super) fn of_store(settings: &config::Imap) -> Result<Self, TlsProblem> {
        let store = settings.backend.is_tls.then(|| store(settings)).transpose()?;
        Ok(Self { acceptor: None, store })
    }

    /// Whether a client can begin TLS.
    pub(super) fn is_offered(&self) -> bool {
        self.acceptor.is_some()
    }

    /// Lets a client begin TLS.
    ///
    /// # Errors
    /// Where the client and the proxy do not come to terms.
    pub(super) async fn accept(&self, stream: Stream) -> io::Result<Transport> {
        let Some(acceptor) = &self.acceptor else { return Err(io::ErrorKind::Unsupported.into()) };
        let stream = acceptor.accept(stream).await?;
        Ok(Transport::Tls(Box::new(stream.into())))
    }

    /// Begins TLS with the store, where it is to be asked so.
    ///
    /// # Errors
    /// Where it is not the one that the configuration names.
    pub(super) async fn connect(&self, stream: Stream) -> io::Result<Transport> {
        let Some((connector, name)) = &self.store else { return Ok(Transport::Plain(stream)) };
        let stream = connector.connect(name.clone(), stream).await?;
        Ok(Transport::Tls(Box::new(stream.into())))
    }
}

fn acceptor(settings: &config::Imap) -> Result<TlsAcceptor, TlsProblem> {
    let (chain, key) = (&settings.tls_certificate, &settings.tls_key);
    let certificates = certificates(chain)?;
    let pem = file::read(key, MAX_FILE_BYTES)?;
    let private = PrivateKeyDer::from_pem_slice(pem.expose()).map_err(|_| TlsProblem::File {
        path: key.clone(),
        problem: "no private key in PEM".into(),
    })?;
    let wrong = |error: rustls::Error| TlsProblem::File {
        path: chain.clone(),
        problem: error.to_string().to_lowercase(),
    };
    let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .map_err(wrong)?;
    server.alpn_protocols = vec![b"imap".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}

fn store(settings: &config::Imap) -> Result<(TlsConnector, ServerName<'static>), TlsProblem> {
    let path = &settings.backend_tls_ca;
    let wrong = |problem: String| TlsProblem::File { path: path.clone(), problem };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(path)?);
    if roots.is_empty() {
        return Err(wrong("no certificate that is of use".into()));
    }
    let host = settings.backend.host().unwrap_or_default().to_owned();
    let name = ServerName::try_from(host.clone()).map_err(|_| TlsProblem::Name(host))?;
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string().to_lowercase()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((TlsConnector::from(Arc::new(client)), name))
}

/// All certificates in a file, of which there is one at least.
///
/// # Errors
/// Where there is none, or the file cannot be read.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let pem = file::read(path, MAX_FILE_BYTES)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose()).collect();
    let certificates = read.unwrap_or_default();
    if certificates.is_empty() {
        return Err(TlsProblem::File {
            path: path.to_owned(),
            problem: "no certificate in PEM".into(),
        });
    }
    Ok(certificates)
}

/// What is in the way of TLS.
#[derive(Debug)]
pub enum TlsProblem {
    /// A file cannot be read.
    Read(FileError),
    /// A file is of no use.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// `[imap] listen` has `tls:`, and there is no `tls_certificate`.
    NoCertificate,
    /// The name in `[imap] backend` is no host's.
    Name(String),
}

impl From<FileError> for TlsProblem {
    fn from(error: FileError) -> Self {
        Self::Read(error)
    }
}

impl fmt::Display for TlsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::File { path, problem } => write!(f, "{}: {problem}", path.display()),
            Self::NoCertificate => {
                f.write_str("[imap] listen names tls:, and tls_certificate is not set")
            }
            Self::Name(host) => write!(f, "[imap] backend names {host:?}, which is no host"),
        }
    }
}

impl std::error::Error for TlsProblem {}
