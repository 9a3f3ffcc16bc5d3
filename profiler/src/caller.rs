//! Who called sudo: the user for whom the command runs and to whom the profile belongs.

use std::ffi::CString;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use nix::unistd::{Gid, Uid, User, getgrouplist};

use crate::name_services;
use crate::output::Owner;

/// The user behind sudo, from the user database.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Login name.
    pub name: String,
    /// Home directory.
    pub home: PathBuf,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

/// Why the user behind sudo cannot be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallerError {
    /// sudo's environment does not make sense.
    #[error("SUDO_UID is {0:?}, which is no user id; unset it, or call the profiler through sudo")]
    NotAnId(String),
    /// The user database does not have the user.
    #[error(
        "the user {0} who called sudo is not in the user database; unset SUDO_UID to run as root"
    )]
    Unknown(u32),
    /// The user database cannot be asked.
    #[error("the user database cannot be asked for user {uid}: {cause}")]
    Database {
        /// The id that was looked up.
        uid: u32,
        /// What the system said.
        cause: io::Error,
    },
}

impl Caller {
    /// The user who called sudo; `None` when this is not root or nobody did.
    pub(crate) fn from_sudo() -> Result<Option<Self>, CallerError> {
        let Ok(uid) = std::env::var("SUDO_UID") else {
            return Ok(None);
        };
        if !nix::unistd::geteuid().is_root() {
            return Ok(None);
        }
        let uid: u32 = uid.parse().map_err(|_| CallerError::NotAnId(uid.clone()))?;
        if uid == 0 {
            return Ok(None);
        }
        // The libraries that know users of other places than /etc/passwd are the machine's, as are these programs.
        let by_programs = name_services::IS_STATIC
            .then(|| Self::ask_programs(uid))
            .flatten();
        by_programs.map_or_else(|| Self::lookup(uid), Ok).map(Some)
    }

    /// The owner of files made for this user.
    pub(crate) fn owner(&self) -> Owner {
        Owner {
            uid: self.uid.as_raw(),
            gid: self.gid.as_raw(),
        }
    }

    /// Turns the current process into the user's, with all his groups. For a child before exec.
    pub(crate) fn become_caller(&self) -> io::Result<()> {
        // The user comes last: without root's rights the groups could not be set any more.
        nix::unistd::setgroups(&self.groups)?;
        nix::unistd::setgid(self.gid)?;
        nix::unistd::setuid(self.uid)?;
        Ok(())
    }

    /// Looks the user up by `getent` and `id`; `None` if they are not here or do not know him.
    fn ask_programs(uid: u32) -> Option<Self> {
        let entry = printed("getent", &["passwd", &uid.to_string()])?;
        let (name, gid, home) = passwd_entry(&entry)?;
        let groups = printed("id", &["-G", "--", name])?;
        let groups = groups.split_whitespace().map(|gid| gid.parse().ok());
        Some(Self {
            name: name.to_owned(),
            home: PathBuf::from(home),
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
            groups: groups
                .map(|gid| gid.map(Gid::from_raw))
                .collect::<Option<_>>()?,
        })
    }

    fn lookup(uid: u32) -> Result<Self, CallerError> {
        let database = |cause: nix::Error| CallerError::Database {
            uid,
            cause: cause.into(),
        };
        let user = User::from_uid(Uid::from_raw(uid))
            .map_err(database)?
            .ok_or(CallerError::Unknown(uid))?;
        let name = CString::new(user.name.as_str()).map_err(|_| CallerError::Unknown(uid))?;
        let groups = getgrouplist(&name, user.gid).map_err(database)?;
        Ok(Self {
            name: user.name,
            home: user.dir,
            uid: user.uid,
            gid: user.gid,
            groups,
        })
    }
}

/// What a program of this machine prints, if it succeeds.
fn printed(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output();
    let output = output
        .inspect_err(|error| log::debug!("{program}: {error}"))
        .ok()?;
    let text = output.status.success().then_some(output.stdout)?;
    String::from_utf8(text).ok()
}

/// Name, group and home of a line as in passwd(5): `name:password:uid:gid:comment:home:shell`.
fn passwd_entry(line: &str) -> Option<(&str, u32, &str)> {
    let fields: Vec<&str> = line.trim_end().split(':').collect();
    let [name, _, _, gid, _, home, _] = fields.as_slice() else {
        return None;
    };
    Some((name, gid.parse().ok()?, home))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user of every system is found with his group; an id nobody has is said to be unknown.
    #[test]
    fn lookup_in_the_user_database() {
        let daemon = Caller::lookup(1).unwrap();
        assert!(daemon.groups.contains(&daemon.gid), "{daemon:?}");
        let error = Caller::lookup(4_000_000_001).unwrap_err().to_string();
        assert!(error.contains("4000000001"), "{error}");
    }

    /// The programs of the machine know the same of a user as its user database, and nothing of an id that nobody has.
    #[test]
    fn lookup_by_programs() {
        let (asked, known) = (Caller::ask_programs(1).unwrap(), Caller::lookup(1).unwrap());
        assert_eq!((&asked.name, &asked.home), (&known.name, &known.home));
        assert_eq!((asked.uid, asked.gid), (known.uid, known.gid));
        assert!(asked.groups.contains(&asked.gid), "{asked:?}");
        assert!(Caller::ask_programs(4_000_000_001).is_none());
    }

    /// A line of the user database has seven fields; anything else is none.
    #[test]
    fn lines_of_the_user_database() {
        let line = "ann:x:1000:100:Ann,,,:/home/ann:/bin/sh\n";
        assert_eq!(passwd_entry(line), Some(("ann", 100, "/home/ann")));
        for line in ["", "ann:x:1000", "ann:x:1000:many:Ann:/home/ann:/bin/sh"] {
            assert_eq!(passwd_entry(line), None, "{line:?}");
        }
    }
}
