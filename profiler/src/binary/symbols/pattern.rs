//! Which names are looked for.

use regex::bytes::Regex;

use super::SymbolVersion;

/// Which names are looked for: one, with or without a version, or all that match a regular expression.
#[derive(Clone, Debug)]
pub struct SymbolPattern {
    name: Name,
    version: Option<SymbolVersion>,
}

#[derive(Clone, Debug)]
enum Name {
    Exact {
        name: Vec<u8>,
        /// Finds the name where it ends, in a string table.
        ending: Regex,
    },
    Matching(Regex),
}

impl SymbolPattern {
    /// One name. Without a version it stands for all that it has; `name@VERSION` is that version, and `name@@VERSION` only
    /// if it is the default one.
    ///
    /// # Errors
    ///
    /// The name is empty, or too long to be looked for.
    pub fn exact(text: &str) -> Result<Self, regex::Error> {
        let (name, version) = split(text.as_bytes());
        if name.is_empty() {
            return Err(regex::Error::Syntax("the name is empty".to_owned()));
        }
        let literal = regex::escape(&String::from_utf8_lossy(name));
        Ok(Self {
            name: Name::Exact {
                name: name.to_vec(),
                ending: Regex::new(&format!("{literal}(?-u:[\\x00@])"))?,
            },
            version,
        })
    }

    /// All names that a regular expression is found in, versions left aside; `^` and `$` are the ends of the name.
    ///
    /// # Errors
    ///
    /// It is no regular expression.
    pub fn regex(text: &str) -> Result<Self, regex::Error> {
        Ok(Self {
            name: Name::Matching(Regex::new(text)?),
            version: None,
        })
    }

    /// What finds out whether a string table has the name at all, and how many bytes it finds at most.
    pub(super) fn ending(&self) -> Option<(&Regex, usize)> {
        match &self.name {
            Name::Exact { name, ending } => Some((ending, name.len() + 1)),
            Name::Matching(_) => None,
        }
    }

    pub(super) fn has_name(&self, name: &[u8]) -> bool {
        match &self.name {
            Name::Exact { name: exact, .. } => exact == name,
            Name::Matching(regex) => regex.is_match(name),
        }
    }

    pub(super) fn has_version(&self, version: Option<&SymbolVersion>) -> bool {
        let Some(wanted) = &self.version else {
            return true;
        };
        version.is_some_and(|version| {
            version.name == wanted.name && (version.is_default || !wanted.is_default)
        })
    }
}

/// A name and its version, which linkers put behind the names of `.symtab`.
pub(super) fn split(name: &[u8]) -> (&[u8], Option<SymbolVersion>) {
    let at = name.iter().position(|&byte| byte == b'@');
    let Some(at) = at.filter(|at| *at > 0) else {
        return (name, None);
    };
    let (base, version) = (&name[..at], &name[at + 1..]);
    let default = version.strip_prefix(b"@");
    let version = SymbolVersion {
        name: String::from_utf8_lossy(default.unwrap_or(version)).into_owned(),
        is_default: default.is_some(),
    };
    (base, Some(version))
}
