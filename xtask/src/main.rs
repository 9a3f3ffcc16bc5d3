//! The project's tasks, one table; each job of the CI is one of them.

mod codegen;
mod go;
mod google_pprof;

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let target = std::env::current_dir()?.join("target");
    let target: &Path = &target;
    match args.split_first() {
        Some((task, rest)) if task == "codegen" => codegen::run(rest),
        Some((task, [])) if task == "google-pprof" => google_pprof::ensure(target).map(drop),
        Some((task, [])) if task == "go-pprof" => go::ensure_pprof(target).map(drop),
        _ => anyhow::bail!("unknown task; there are: codegen, google-pprof, go-pprof"),
    }
}
