//! Damaged maps text: any answer will do, but there has to be one, and a consistent one.

use crate::binary::elf_builder::Xorshift;
use crate::process::join::{ByLines, join_executable};
use crate::process::parse_maps;

const MAPS: &[u8] = b"\
00400000-07000000 r-xp 00000000 00:00 0
07000000-07093000 r-xp 06c00000 00:2e 536754        /path/to/server
07093000-07094000 r-xp 06c93000 00:2e 536754        /path/to/server
7f7d77d3c000-7f7d77d41000 rw-p 00000000 00:00 0
7f7d77d41000-7f7d77d64000 r-xp 00000000 fc:01 1180217   /lib/ld\\0122.so (deleted)
7f7d77d64000-7f7d77d65000 r-xs 00000000 00:01 7         /memfd:jit code (deleted)
7ffc34343000-7ffc34345000 r-xp 00000000 00:00 0         [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]
";

/// No damage makes parsing panic; every line is used or counted, and no range is empty or turned round.
#[test]
fn damaged_maps_are_read_without_panic() {
    let mut random = Xorshift(0x1234_5678_9abc_def1);
    let mut used = 0;
    for _ in 0..30_000 {
        let mut text = MAPS.to_vec();
        random.mutate(&mut text, b"\n -:0f9xps/\\");
        let maps = parse_maps(&text);
        let lines = text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        assert_eq!(
            lines.count() as u64,
            maps.lines.len() as u64 + maps.malformed + maps.empty
        );
        assert!(maps.lines.iter().all(|line| line.start < line.limit));
        let joined = join_executable(&maps.lines, &ByLines);
        assert!(joined.iter().all(|joined| joined.start < joined.limit));
        used += maps.lines.len();
    }
    assert!(used > 30_000, "damage is so heavy that nothing is tested");
}
