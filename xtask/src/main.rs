//! The project's tasks, one table; each job of the CI is one of them.

mod codegen;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((task, rest)) if task == "codegen" => codegen::run(rest),
        _ => anyhow::bail!("unknown task; there is: codegen"),
    }
}
