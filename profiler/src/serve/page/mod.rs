//! The page at `/`: what ran, and where the time went. It is plain HTML, CSS and modules of JavaScript, and loads nothing from
//! anywhere else; what it shows it asks of the other routes.

/// A part of the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub(super) path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const PARTS: &[Part] = &[
    part("/", HTML, include_str!("index.html")),
    part("/page.css", CSS, include_str!("page.css")),
    part("/page.mjs", SCRIPT, include_str!("page.mjs")),
    part("/chart.mjs", SCRIPT, include_str!("chart.mjs")),
    part("/colors.mjs", SCRIPT, include_str!("colors.mjs")),
    part("/columns.mjs", SCRIPT, include_str!("columns.mjs")),
    part("/flame.mjs", SCRIPT, include_str!("flame.mjs")),
    part("/format.mjs", SCRIPT, include_str!("format.mjs")),
    part("/state.mjs", SCRIPT, include_str!("state.mjs")),
    part("/tree.mjs", SCRIPT, include_str!("tree.mjs")),
];

const fn part(path: &'static str, content_type: &'static str, body: &'static str) -> Part {
    Part {
        path,
        content_type,
        body,
    }
}

/// The part at a path.
pub(super) fn at(path: &str) -> Option<Part> {
    PARTS.iter().find(|part| part.path == path).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a part names beside itself is there, and is nobody else's.
    #[test]
    fn parts_are_whole() {
        for part in PARTS {
            let quoted = part.body.split('"').skip(1).step_by(2);
            let own = quoted.filter(|text| text.ends_with(".mjs") || text.ends_with(".css"));
            for name in own {
                let path = name.trim_start_matches('.');
                assert!(at(path).is_some(), "{} names {name}", part.path);
            }
            let foreign = part.body.replace("http://www.w3.org/2000/svg", "");
            assert!(!foreign.contains("://"), "{}", part.path);
            assert!(!foreign.contains("style=\""), "{}", part.path);
        }
    }
}
