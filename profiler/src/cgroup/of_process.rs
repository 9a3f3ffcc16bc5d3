//! The control groups of a process, from `/proc/PID/cgroup`.
//!
//! ```text
//! 4:memory:/docker/3c5c…          number of the hierarchy : its controllers : path
//! 1:name=systemd:/docker/3c5c…
//! 0::/system.slice/docker.service  version 2 has number 0 and no controllers
//! ```

use super::container_id;

/// What the text of the file says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct OfProcess {
    /// The path in the hierarchy of version 2.
    pub(crate) version_2: Option<String>,
    /// The paths in those of version 1, in the order of the lines.
    pub(crate) version_1: Vec<String>,
}

impl OfProcess {
    /// The path that tells most: that of version 2, unless that says nothing, as where version 1 is used beside it.
    pub(crate) fn path(&self) -> Option<&str> {
        let version_1 = self.version_1.iter().map(String::as_str);
        let mut paths = self.version_2.as_deref().into_iter().chain(version_1);
        // Any is better than a root; of those that are left, one that names a container.
        let paths_below: Vec<&str> = paths.clone().filter(|path| *path != "/").collect();
        let named = paths_below.iter().find(|path| container_id(path).is_some());
        named
            .or(paths_below.first())
            .copied()
            .or_else(|| paths.next())
    }
}

/// Reads the text; lines that make no sense are left out.
pub(crate) fn of_process(text: &[u8]) -> OfProcess {
    let mut found = OfProcess::default();
    for line in String::from_utf8_lossy(text).lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(_), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        // Said of a group that was removed while the process was in it.
        let path = path.strip_suffix(" (deleted)").unwrap_or(path).to_owned();
        match number {
            "0" => found.version_2 = Some(path),
            _ => found.version_1.push(path),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(of_process(text.as_bytes()).path(), expected, "{text:?}");
    }

    /// The path that says most is found in files of either version and of both.
    #[test]
    fn most_telling_path() {
        let id = "3c5c0b7b1f0a4a5e8d9f6b2c1e0d7a8b9c0d1e2f3a4b5c6d7e8f9a0b1c2d3e4f";
        check("", None);
        check("nonsense\n1:2\n", None);
        check("0::/\n", Some("/"));
        check(
            "0::/system.slice/a.service\n",
            Some("/system.slice/a.service"),
        );
        check("0::/a:b/c\n", Some("/a:b/c"));
        check("0::/gone (deleted)\n", Some("/gone"));
        check("2:cpu:/\n1:name=systemd:/x\n0::/\n", Some("/x"));
        check("2:cpu:/y\n0::/x\n", Some("/x"));
        check(
            &format!("2:cpu:/\n1:memory:/docker/{id}\n0::/x\n"),
            Some(&format!("/docker/{id}")),
        );
    }
}
