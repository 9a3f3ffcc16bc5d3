//! Connections to a receiver: who may vouch for it, how long to wait for it, HTTP 1 or 2.
//!
//! One kind of client for all receivers, so that certificates are judged in one place. What is said is left to others.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::{PushTarget, Receiver};

/// Windows are minutes apart, and receivers close connections that are idle for about as long: a new one is safer.
const LONGEST_IDLE: Duration = Duration::from_secs(20);

/// Why nothing can be connected to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The file of certificates cannot be used.
    #[error("the certificates in {} cannot be used: {cause}; it should hold those of a CA, in PEM", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The system trusts nobody.
    #[error(
        "the system has no certificates that it trusts: {0}; install ca-certificates, or name a file with those of the CA"
    )]
    NoRoots(io::Error),
    /// Should not happen: the library refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A client whose requests have bodies of type `B`.
pub(super) type Client<B> = HyperClient<HttpsConnector<HttpConnector>, B>;

/// Makes clients for a target.
///
/// A client is thrown away when nobody has answered: its connection may be dead without knowing, and the address and
/// the certificates may have changed.
#[derive(Clone, Debug)]
pub(super) struct Connecting {
    is_encrypted: bool,
    ca_file: Option<PathBuf>,
    speaks_http2: bool,
    timeout: Duration,
}

impl Connecting {
    pub(super) fn to(target: &PushTarget, timeout: Duration) -> Self {
        Self {
            is_encrypted: target.url.scheme() == Some(&Scheme::HTTPS),
            ca_file: target.ca_file.clone(),
            // gRPC is HTTP 2; what is not gets through more proxies as HTTP 1.
            speaks_http2: target.receiver != Receiver::Pyroscope,
            timeout,
        }
    }

    /// A client without connections.
    pub(super) fn client<B>(&self) -> Result<Client<B>, ClientError>
    where
        B: http_body_util::BodyExt + Send,
        B::Data: Send,
    {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(self.timeout));
        let builder = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls()?)
            .https_or_http();
        let connector = if self.speaks_http2 {
            builder.enable_http2().wrap_connector(tcp)
        } else {
            builder.enable_http1().wrap_connector(tcp)
        };
        Ok(HyperClient::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(LONGEST_IDLE)
            .pool_max_idle_per_host(1)
            .http2_only(self.speaks_http2)
            .build(connector))
    }

    /// ring does the arithmetic: it builds with the C compiler that is there anyway, where aws-lc wants cmake.
    fn tls(&self) -> Result<ClientConfig, ClientError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = match &self.ca_file {
            Some(path) => config.with_root_certificates(certificates(path)?),
            None if self.is_encrypted => {
                config.with_native_roots().map_err(ClientError::NoRoots)?
            }
            None => config.with_root_certificates(RootCertStore::empty()),
        };
        Ok(config.with_no_client_auth())
    }
}

fn certificates(path: &Path) -> Result<RootCertStore, ClientError> {
    let wrong = |cause: String| ClientError::CaFile {
        path: path.to_owned(),
        cause,
    };
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(path).map_err(|cause| wrong(cause.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|cause| wrong(cause.to_string()))?;
        let added = roots.add(certificate);
        added.map_err(|cause| wrong(cause.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("there are none".to_owned()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that vouches for nobody is refused at once.
    #[test]
    fn wrong_ca_files_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in [
            "",
            "not PEM",
            "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n",
        ] {
            std::fs::write(file.path(), text).unwrap();
            let error = certificates(file.path()).unwrap_err().to_string();
            assert!(error.contains("in PEM"), "{error}");
        }
        let error = certificates(Path::new("/nonexistent")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent"), "{error}");
    }
}
