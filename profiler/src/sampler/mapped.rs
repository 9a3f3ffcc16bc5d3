//! Arrays of BPF maps in this process's memory, so that an element is written by a plain store and not by a system
//! call.

use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;

use aya::Pod;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The elements of a map of type `BPF_MAP_TYPE_ARRAY` that was made with `BPF_F_MMAPABLE`.
///
/// BPF programs read them while they are written. That is sound for them, and made right by the order of writes:
/// what refers to an element is written after it.
#[derive(Debug)]
pub(super) struct MappedArray<T: Pod> {
    memory: *mut T,
    length: usize,
    bytes: usize,
    element: PhantomData<T>,
}

impl<T: Pod> MappedArray<T> {
    /// Maps an array of `length` elements. The size of an element must be a multiple of eight, or one of eight must
    /// be a multiple of it: the kernel pads elements to eight bytes (kernel/bpf/arraymap.c).
    pub(super) fn new(map: BorrowedFd<'_>, length: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let bytes = (length * size_of::<T>()).next_multiple_of(page);
        // SAFETY: a new mapping at a place of the kernel's choice; nothing else can refer to it.
        let memory = unsafe {
            mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                map,
                0,
            )?
        };
        Ok(Self {
            memory: memory.cast(),
            length,
            bytes,
            element: PhantomData,
        })
    }

    /// How many elements there are.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// An element as it is now.
    pub(super) fn get(&self, index: usize) -> Option<T> {
        // SAFETY: the index is inside; the memory is ours until drop, and any bytes are a value of a `Pod`.
        (index < self.length).then(|| unsafe { self.memory.add(index).read_volatile() })
    }

    /// Writes elements side by side; false when they do not fit.
    pub(super) fn write(&mut self, first: usize, elements: &[T]) -> bool {
        if first
            .checked_add(elements.len())
            .is_none_or(|end| end > self.length)
        {
            return false;
        }
        for (index, element) in elements.iter().enumerate() {
            // SAFETY: the index is inside, as was just checked; the memory is ours until drop. Volatile, because
            // others read it.
            unsafe { self.memory.add(first + index).write_volatile(*element) };
        }
        true
    }
}

impl<T: Pod> Drop for MappedArray<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; nothing refers to it after this value.
        let result = unsafe { munmap(self.memory.cast(), self.bytes) };
        if let Err(error) = result {
            log::debug!("a map stays in memory: {error}");
        }
    }
}
