//! What the BPF object must have before anybody embeds it: checked right after linking, with readable reasons.
//!
//! Whether the kernel's verifier takes the programs is for the end-to-end suite to find out.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use object::elf::EM_BPF;
use object::read::elf::{ElfFile64, FileHeader};
use object::{Endianness, Object, ObjectSection, SectionKind};

/// A BPF instruction is 8 bytes, see `struct bpf_insn` in `include/uapi/linux/bpf.h`.
const INSTRUCTION_SIZE: u64 = 8;

/// The licences with which the kernel lets a program use its GPL-only helpers: `license_is_gpl_compatible` in
/// `include/linux/license.h`.
const COMPATIBLE: &[&str] = &[
    "GPL",
    "GPL v2",
    "GPL and additional rights",
    "Dual BSD/GPL",
    "Dual MIT/GPL",
    "Dual MPL/GPL",
];

/// The programs of an object.
#[derive(Debug)]
pub(crate) struct Programs {
    /// Section name and number of instructions.
    sections: Vec<(String, u64)>,
}

impl fmt::Display for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, instructions)) in self.sections.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name} {instructions}")?;
        }
        f.write_str(" instructions")
    }
}

/// Reads an object and says which programs it has, or what keeps it from being loaded.
pub(crate) fn check(bytes: &[u8]) -> Result<Programs> {
    let file = ElfFile64::<Endianness>::parse(bytes).context("not a 64-bit ELF file")?;
    let machine = file.elf_header().e_machine(file.endian());
    ensure!(
        machine == EM_BPF,
        "built for machine {machine}, not for BPF"
    );
    for section in [".BTF", ".BTF.ext"] {
        let there = file
            .section_by_name(section)
            .is_some_and(|section| section.size() > 0);
        ensure!(
            there,
            "has no {section}: bpf-linker got no --btf, or the code no debug information"
        );
    }
    let license = file.section_by_name("license").context(
        "has no section `license`: without one the kernel refuses the helpers that read memory",
    )?;
    check_license(license.data().context("the license cannot be read")?)?;
    let sections: Vec<(String, u64)> = file
        .sections()
        .filter(|section| section.kind() == SectionKind::Text && section.size() > 0)
        .map(|section| {
            Ok((
                section.name()?.to_owned(),
                section.size() / INSTRUCTION_SIZE,
            ))
        })
        .collect::<Result<_>>()?;
    if !sections.iter().any(|(name, _)| name != ".text") {
        bail!("has no program: every function is in .text");
    }
    Ok(Programs { sections })
}

fn check_license(data: &[u8]) -> Result<()> {
    let Some(text) = data.strip_suffix(b"\0") else {
        bail!("the license does not end with a zero byte");
    };
    let text = String::from_utf8_lossy(text);
    ensure!(
        COMPATIBLE.contains(&text.as_ref()),
        "the kernel does not take the license `{text}` for GPL-compatible"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check, check_license};

    /// A file that is no object, and an object for the host, are told apart from a BPF object.
    #[test]
    fn other_files_are_refused() {
        let error = check(b"MZ").unwrap_err().to_string();
        assert_eq!(error, "not a 64-bit ELF file");

        let host = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let error = check(&host).unwrap_err().to_string();
        assert!(error.contains("not for BPF"), "{error}");
    }

    /// Only the exact texts that the kernel compares with count as a licence.
    #[test]
    fn license_is_what_the_kernel_compares_with() {
        assert!(check_license(b"Dual MIT/GPL\0").is_ok());
        assert!(check_license(b"GPL\0").is_ok());
        assert!(check_license(b"GPL").is_err());
        assert!(check_license(b"MIT\0").is_err());
        assert!(check_license(b"GPL\0\0").is_err());
        assert!(check_license(b"").is_err());
    }
}
