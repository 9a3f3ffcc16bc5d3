//! Encrypted receivers: who is believed, and who is not.

use std::io::Write as _;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;

use super::server::Like;
use super::*;

/// A CA of our own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Its certificate, in a file.
    fn file(&self) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(self.0.pem().as_bytes()).unwrap();
        file
    }

    /// A server that it vouches for, under the name `localhost`.
    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key);
        let mut config = config.unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A target that believes the CA in `ca`, reached as `host`.
fn target(receiver: Receiver, host: &str, port: u16, ca: &NamedTempFile) -> PushTarget {
    let path = if receiver == Receiver::Pyroscope {
        "/prefix"
    } else {
        ""
    };
    let target = format!("{}=https://{host}:{port}{path}", receiver.name());
    let mut target: PushTarget = target.parse().unwrap();
    target.ca_file = Some(ca.path().to_owned());
    target
}

/// A receiver whose CA is named is believed, by the name that its certificate has.
#[tokio::test]
async fn own_ca_is_believed() {
    let authority = Authority::new();
    let ca = authority.file();
    for receiver in RECEIVERS {
        let server = Like {
            tls: Some(authority.acceptor()),
            ..Like::good(receiver)
        };
        let server = server.start().await;
        let port = server.address.port();
        let pushers = start(vec![target(receiver, "localhost", port, &ca)], quick());
        pushers.offer(&window(0));
        until(&pushers, |counts| counts.sent == 1).await;
        assert_eq!(server.state.arrivals().len(), 1);
    }
}

/// One that another CA vouches for, or that has another name, gets nothing, and the windows wait.
#[tokio::test]
async fn strangers_are_not_believed() {
    let authority = Authority::new();
    let (right, wrong) = (authority.file(), Authority::new().file());
    for receiver in RECEIVERS {
        for (host, ca) in [("localhost", &wrong), ("127.0.0.1", &right)] {
            let server = Like {
                tls: Some(authority.acceptor()),
                ..Like::good(receiver)
            };
            let server = server.start().await;
            let port = server.address.port();
            let pushers = start(vec![target(receiver, host, port, ca)], quick());
            pushers.offer(&window(0));
            let counts = until(&pushers, |counts| counts.retried > 1).await;
            let error = counts.last_error.unwrap();
            assert!(
                error.contains("invalid peer certificate"),
                "{receiver:?}: {error}"
            );
            assert_eq!((counts.sent, counts.queued), (0, 1));
            assert!(server.state.arrivals().is_empty());
        }
    }
}

/// Certificates that were replaced in the file are taken up without a restart.
#[tokio::test]
async fn replaced_ca_is_taken_up() {
    let authority = Authority::new();
    let ca = Authority::new().file();
    let server = Like {
        tls: Some(authority.acceptor()),
        ..Like::good(Receiver::Otlp)
    };
    let server = server.start().await;
    let port = server.address.port();
    let pushers = start(
        vec![target(Receiver::Otlp, "localhost", port, &ca)],
        quick(),
    );
    pushers.offer(&window(0));
    until(&pushers, |counts| counts.retried > 0).await;
    std::fs::write(ca.path(), authority.0.pem()).unwrap();
    until(&pushers, |counts| counts.sent == 1).await;
}
