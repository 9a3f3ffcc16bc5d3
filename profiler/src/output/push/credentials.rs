//! Who we are, out of a file that may change: a bearer token, or user and password.
//!
//! What is read never gets into a message: [`Credentials::redact`] cleans those of others.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use super::PushTarget;

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    /// A file cannot be read.
    #[error("the credentials in {} cannot be read: {cause}; make the file readable for the profiler", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Nothing that could be sent.
    #[error("{} holds no credentials: {wanted} in one line", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
    },
    /// Two ways at once.
    #[error("a token and a password are two ways of saying who we are; name one of the two files")]
    Both,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Token,
    Password,
}

/// The header `authorization`, as the file has it now.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    source: Option<(Kind, PathBuf)>,
    header: Option<HeaderValue>,
    /// What must not be shown: what is sent, and what it was made of.
    secrets: Vec<String>,
    stamp: Option<Stamp>,
}

/// What tells a changed file: a file that is replaced has another inode, one that is rewritten another time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        Ok(Self {
            inode: meta.ino(),
            size: meta.len(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

impl Credentials {
    /// Reads those of a target for the first time.
    pub(super) fn of(target: &PushTarget) -> Result<Self, CredentialsError> {
        let source = match (&target.token_file, &target.password_file) {
            (None, None) => None,
            (Some(path), None) => Some((Kind::Token, path.clone())),
            (None, Some(path)) => Some((Kind::Password, path.clone())),
            (Some(_), Some(_)) => return Err(CredentialsError::Both),
        };
        let mut credentials = Self {
            source,
            header: None,
            secrets: Vec::new(),
            stamp: None,
        };
        credentials.read()?;
        Ok(credentials)
    }

    /// Whether there is a file to look at.
    pub(super) fn are_in_a_file(&self) -> bool {
        self.source.is_some()
    }

    /// What to send, if anything.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        self.header.clone()
    }

    /// Reads a file that has changed again. While it cannot be read, what it had before stays. Waits for the disk.
    pub(super) fn refresh(&mut self) {
        if let Some((_, path)) = &self.source
            && Stamp::of(path).ok() != self.stamp
            && let Err(cause) = self.read()
        {
            log::debug!("{cause}");
        }
    }

    /// Reads the file again, whatever it looks like. Waits for the disk.
    pub(super) fn reread(&mut self) {
        if let Err(cause) = self.read() {
            log::debug!("{cause}");
        }
    }

    /// `message` without what is secret, in case that the receiver repeats what it was sent.
    pub(super) fn redact(&self, message: &str) -> String {
        let secrets = self.secrets.iter();
        secrets.fold(message.to_owned(), |text, secret| text.replace(secret, "…"))
    }

    fn read(&mut self) -> Result<(), CredentialsError> {
        let Some((kind, path)) = &self.source else {
            return Ok(());
        };
        let unreadable = |cause| CredentialsError::Unreadable {
            path: path.clone(),
            cause,
        };
        let stamp = Stamp::of(path).map_err(unreadable)?;
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let text = text.trim();
        let (wanted, scheme, secret) = match kind {
            Kind::Token => ("a token", "Bearer", text.to_owned()),
            Kind::Password => ("USER:PASSWORD", "Basic", STANDARD.encode(text)),
        };
        let wrong = || CredentialsError::Wrong {
            path: path.clone(),
            wanted,
        };
        let is_one_line = !text.is_empty() && !text.contains(char::is_control);
        if !is_one_line || (*kind == Kind::Password && !text.contains(':')) {
            return Err(wrong());
        }
        let mut header =
            HeaderValue::from_str(&format!("{scheme} {secret}")).map_err(|_| wrong())?;
        header.set_sensitive(true);
        self.header = Some(header);
        self.secrets = vec![secret];
        if *kind == Kind::Password {
            self.secrets.push(text.to_owned());
            let password = text.split_once(':').map_or("", |(_, password)| password);
            // Nothing is no secret, and is everywhere.
            self.secrets
                .extend((!password.is_empty()).then(|| password.to_owned()));
        }
        self.stamp = Some(stamp);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(file: &Path, kind: Kind) -> PushTarget {
        let mut target: PushTarget = "otlp=http://host".parse().unwrap();
        match kind {
            Kind::Token => target.token_file = Some(file.to_owned()),
            Kind::Password => target.password_file = Some(file.to_owned()),
        }
        target
    }

    /// Both kinds become the header that they should, and are shown nowhere.
    #[test]
    fn headers_are_made() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (kind, text, wanted) in [
            (Kind::Token, "abc\n", "Bearer abc"),
            (Kind::Password, "me:secret\n", "Basic bWU6c2VjcmV0"),
        ] {
            fs::write(file.path(), text).unwrap();
            let credentials = Credentials::of(&target(file.path(), kind)).unwrap();
            assert_eq!(credentials.header().unwrap(), wanted);
            let secret = wanted.split(' ').next_back().unwrap();
            assert!(!format!("{:?}", credentials.header()).contains(secret));
            assert_eq!(credentials.redact(&format!("no {secret}!")), "no …!");
            let typed = text.trim();
            assert_eq!(credentials.redact(&format!("no {typed}!")), "no …!");
            let password = typed.rsplit(':').next().unwrap();
            assert_eq!(credentials.redact(&format!("no {password}!")), "no …!");
        }
        let none: PushTarget = "otlp=http://host".parse().unwrap();
        let none = Credentials::of(&none).unwrap();
        assert_eq!(none.header(), None);
        assert!(!none.are_in_a_file());
        assert_eq!(none.redact("as it is"), "as it is");
    }

    /// What cannot be credentials is refused at once, with what should be there.
    #[test]
    fn wrong_files_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (kind, text, wanted) in [
            (Kind::Token, "", "a token in one line"),
            (Kind::Token, "a\nb", "a token in one line"),
            (Kind::Password, "secret", "USER:PASSWORD"),
        ] {
            fs::write(file.path(), text).unwrap();
            let error = Credentials::of(&target(file.path(), kind)).unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let mut both = target(file.path(), Kind::Token);
        both.password_file.clone_from(&both.token_file);
        assert!(matches!(
            Credentials::of(&both),
            Err(CredentialsError::Both)
        ));
        let missing = target(Path::new("/nonexistent/token"), Kind::Token);
        let error = Credentials::of(&missing).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/token"), "{error}");
    }

    /// A file that was rewritten or replaced is read again; one that has gone leaves what it had.
    #[test]
    fn changed_files_are_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "one").unwrap();
        let mut credentials = Credentials::of(&target(&path, Kind::Token)).unwrap();
        fs::write(directory.path().join("new"), "two").unwrap();
        fs::rename(directory.path().join("new"), &path).unwrap();
        credentials.refresh();
        assert_eq!(credentials.header().unwrap(), "Bearer two");
        fs::remove_file(&path).unwrap();
        credentials.refresh();
        credentials.reread();
        assert_eq!(credentials.header().unwrap(), "Bearer two");
        fs::write(&path, "three").unwrap();
        credentials.reread();
        assert_eq!(credentials.header().unwrap(), "Bearer three");
    }
}
