//! What the cache of open binaries keeps and what it drops.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::binary::elf_builder::Elf;
use crate::binary::{Binary, BinaryCache, BinaryError};

fn write(directory: &Path, name: &str, id: u8) -> std::path::PathBuf {
    let elf = Elf::new();
    let note = elf.note(b"GNU\0", 3, &[id; 20], 4);
    let path = directory.join(name);
    std::fs::write(&path, elf.note_segment(&note, 4).build()).unwrap();
    path
}

fn get(cache: &BinaryCache, path: &Path) -> Result<Arc<Binary>, BinaryError> {
    cache.get(File::open(path).unwrap(), path)
}

/// A file is one binary whatever it is called, and another one once it is replaced.
#[test]
fn identity_is_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let cache = BinaryCache::new(8);
    let path = write(dir.path(), "a", 1);
    let first = get(&cache, &path).unwrap();
    let other_name = dir.path().join("b");
    std::fs::hard_link(&path, &other_name).unwrap();
    assert!(Arc::ptr_eq(&first, &get(&cache, &other_name).unwrap()));
    let id = first.id();
    let found = cache.find_inode(id.device, id.inode).unwrap();
    assert!(Arc::ptr_eq(&first, &found));

    let replacement = write(dir.path(), "c", 2);
    std::fs::rename(&replacement, &path).unwrap();
    let second = get(&cache, &path).unwrap();
    assert_ne!(first.build_id(), second.build_id());
    assert_eq!(cache.len(), 2);
}

/// New content in the same inode is another binary.
#[test]
fn rewritten_file_is_not_found_by_inode() {
    let dir = tempfile::tempdir().unwrap();
    let cache = BinaryCache::new(8);
    let path = write(dir.path(), "a", 1);
    let id = get(&cache, &path).unwrap().id();
    let later = File::options().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut &later, b"more").unwrap();
    assert!(cache.find_inode(id.device, id.inode).is_none());
}

/// Of the binaries that nobody uses only so many are kept, the last used; those in use all stay.
#[test]
fn unused_binaries_are_evicted() {
    let dir = tempfile::tempdir().unwrap();
    let cache = BinaryCache::new(2);
    let paths: Vec<_> = (0..5)
        .map(|id| write(dir.path(), &id.to_string(), id))
        .collect();
    let used = get(&cache, &paths[0]).unwrap();
    for path in &paths[1..] {
        get(&cache, path).unwrap();
    }
    // The one just got is in use while it is inserted, so one more than the capacity may remain.
    assert!(cache.len() <= 4, "{}", cache.len());
    let held = |path: &Path| {
        let id = Binary::open(path).unwrap().id();
        cache.find_inode(id.device, id.inode).is_some()
    };
    assert!(held(&paths[0]) && held(&paths[4]) && !held(&paths[1]));
    assert!(Arc::ptr_eq(&used, &get(&cache, &paths[0]).unwrap()));
}

/// A file that could not be read is read again the next time.
#[test]
fn failures_are_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let cache = BinaryCache::default();
    let path = dir.path().join("late");
    std::fs::write(&path, "not yet").unwrap();
    assert!(get(&cache, &path).is_err() && cache.is_empty());
    write(dir.path(), "late", 3);
    assert!(get(&cache, &path).is_ok());
}

/// No more are open than there is room for: those that nobody uses make room, those in use do not.
#[test]
fn room_for_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let cache = BinaryCache::with_most(100, 8);
    let paths: Vec<_> = (0..20)
        .map(|id| write(dir.path(), &id.to_string(), id))
        .collect();
    for path in &paths {
        get(&cache, path).unwrap();
        assert!(cache.len() <= 8);
    }
    assert!(cache.evicted() > 0);
    let used: Vec<_> = paths
        .iter()
        .map_while(|path| get(&cache, path).ok())
        .collect();
    assert_eq!(used.len(), 8);
    let refused = get(&cache, &paths[15]);
    assert!(matches!(refused, Err(BinaryError::NoDescriptor)));
    assert!(Arc::ptr_eq(&used[3], &get(&cache, &paths[3]).unwrap()));
    drop(used);
    assert!(get(&cache, &paths[15]).is_ok());
}
