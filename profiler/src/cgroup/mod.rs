//! Control groups: the one that a user names, and the one that a sample was in.
//!
//! Selecting is by version 2 of the control groups only, the one hierarchy that BPF programs can ask about. Labels fall
//! back to the hierarchies of version 1, where containers may be known by no other. Which process is sampled is left to
//! [`crate::sampler`].

mod container;
mod mount;
mod of_process;
mod table;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};

pub(crate) use container::container_id;
pub(crate) use mount::version_2;
pub(crate) use of_process::of_process;
pub(crate) use table::{Cgroup, CgroupTable};

/// Where the control groups usually are, if not all of them then the folder of each hierarchy.
const USUAL_PLACE: &str = "/sys/fs/cgroup";

/// `CGROUP2_SUPER_MAGIC` of the kernel's `linux/magic.h`.
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// Why a control group cannot be selected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupError {
    /// No file system of version 2 is mounted.
    #[error(
        "there are no control groups of version 2 here (no cgroup2 in /proc/self/mountinfo), and by others nothing can \
         be selected; mount them: mount -t cgroup2 none DIRECTORY, or select by --pid or --comm"
    )]
    NoVersion2,
    /// There is no such group.
    #[error(
        "there is no control group {} below {}; look for it: systemd-cgls, or cat /proc/PID/cgroup",
        asked.display(),
        mount.display()
    )]
    None {
        /// What was asked for.
        asked: PathBuf,
        /// Where version 2 is mounted.
        mount: PathBuf,
    },
    /// It is one of version 1.
    #[error(
        "{} is a control group of version 1, by which nothing can be selected; name one of version 2 (below {}), or \
         select by --pid or --comm",
        asked.display(),
        mount.display()
    )]
    Version1 {
        /// What was asked for.
        asked: PathBuf,
        /// Where version 2 is mounted.
        mount: PathBuf,
    },
    /// It cannot be looked at.
    #[error("the control group {} cannot be opened: {cause}; run as root", path.display())]
    Unreadable {
        /// Its directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// The directory of a control group that a user has named: by its path from the root of the hierarchy, as in
/// `/proc/PID/cgroup`, or by that of its directory.
pub(crate) fn find(asked: &Path) -> Result<PathBuf, CgroupError> {
    let mount = version_2().ok_or(CgroupError::NoVersion2)?;
    for place in places(asked, &mount) {
        if is_version_2(&place)? {
            return Ok(place);
        }
    }
    let asked = asked.to_owned();
    Err(if asked.starts_with(USUAL_PLACE) && asked.is_dir() {
        CgroupError::Version1 { asked, mount }
    } else {
        CgroupError::None { asked, mount }
    })
}

/// Where the directory may be, the likeliest place first.
fn places(asked: &Path, mount: &Path) -> Vec<PathBuf> {
    let below_mount = |path: &Path| {
        let names = path.components();
        // `..` would lead out of the hierarchy, or mean something else than it seems to.
        let names = names.filter(|part| matches!(part, Component::Normal(_)));
        mount.join(names.collect::<PathBuf>())
    };
    let mut places = Vec::new();
    if asked.starts_with(mount) {
        places.push(asked.to_owned());
    } else if let Ok(rest) = asked.strip_prefix(USUAL_PLACE) {
        places.push(below_mount(rest));
    }
    places.push(below_mount(asked));
    places
}

/// Whether there is such a directory in the file system of version 2.
fn is_version_2(path: &Path) -> Result<bool, CgroupError> {
    let unreadable = |cause: rustix::io::Errno| CgroupError::Unreadable {
        path: path.to_owned(),
        cause: cause.into(),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory: OwnedFd = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(false),
        Err(cause) => return Err(unreadable(cause)),
    };
    let system = rustix::fs::fstatfs(&directory).map_err(unreadable)?;
    Ok(system.f_type as i64 == CGROUP2_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group is found by each of the ways in which people write it, wherever version 2 is mounted.
    #[test]
    fn places_of_groups() {
        let cases = [
            (
                "/sys/fs/cgroup",
                "system.slice/x",
                "/sys/fs/cgroup/system.slice/x",
            ),
            (
                "/sys/fs/cgroup",
                "/system.slice/x",
                "/sys/fs/cgroup/system.slice/x",
            ),
            ("/sys/fs/cgroup", "/sys/fs/cgroup/a", "/sys/fs/cgroup/a"),
            ("/sys/fs/cgroup", "/", "/sys/fs/cgroup"),
            ("/sys/fs/cgroup", "../../etc", "/sys/fs/cgroup/etc"),
            (
                "/sys/fs/cgroup/unified",
                "/sys/fs/cgroup/a",
                "/sys/fs/cgroup/unified/a",
            ),
            (
                "/sys/fs/cgroup/unified",
                "/sys/fs/cgroup/unified/a",
                "/sys/fs/cgroup/unified/a",
            ),
            ("/mnt/two", "a", "/mnt/two/a"),
        ];
        for (mount, asked, expected) in cases {
            let places = places(Path::new(asked), Path::new(mount));
            assert_eq!(places[0], Path::new(expected), "{asked} in {mount}");
        }
    }

    /// What is no control group is refused with the place where there are some.
    #[test]
    fn refusals() {
        let Some(mount) = version_2() else {
            println!("skipped: no control groups of version 2 here");
            return;
        };
        let error = find(Path::new("no/such/group")).unwrap_err().to_string();
        assert!(error.contains("no control group no/such/group"), "{error}");
        assert!(error.contains(&*mount.to_string_lossy()), "{error}");
        assert_eq!(find(Path::new("/")).unwrap(), mount);
    }
}
