//! News of processes: which ones have started, run another program, or ended.
//!
//! The kernel tells by its process event connector (`CONFIG_PROC_EVENTS`, `linux/cn_proc.h`), which has forks as well as
//! execs, needs no BPF, and says when it had to drop something. The sampler's own events were the other choice: they cost
//! loading all of its programs, and leave out forks of what is not profiled. Where the connector cannot be had, because of
//! rights or in a namespace of one's own, the list of processes is read again and again.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
    sockopt,
};

use crate::process::ProcFs;

/// `CN_IDX_PROC` and `CN_VAL_PROC`: the name of the connector, and the group that its events go to.
const PROC: u32 = 1;
/// `PROC_CN_MCAST_LISTEN`
const LISTEN: u32 = 1;
/// `NLMSG_DONE`: one message, and it is whole.
const DONE: u32 = 3;
/// `struct nlmsghdr` and `struct cn_msg`.
const HEADERS: usize = 16 + 20;
/// `what`, `cpu` and `timestamp_ns` of `struct proc_event`.
const EVENT_HEADER: usize = 16;
/// Room for some ten thousand events that come at once.
const BUFFER: usize = 4 << 20;
/// How often the list of processes is read where nothing tells of new ones.
const LIST_EVERY: Duration = Duration::from_millis(100);

/// How new processes are learnt of.
#[derive(Debug)]
#[non_exhaustive]
pub enum Watching {
    /// The kernel tells of each.
    Events,
    /// The list of processes is read ten times a second, because events cannot be had: those that live for less may be
    /// missed, and so may programs that a process changes to.
    Listing(io::Error),
}

/// Something has happened to a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum News {
    /// It was forked.
    Started(u32),
    /// It runs another program.
    Executed(u32),
    Ended(u32),
    /// Some news was lost.
    Lost,
}

/// Where news come from.
#[derive(Debug)]
pub(super) enum Newcomers {
    Connector(OwnedFd),
    Listing {
        procfs: ProcFs,
        known: BTreeSet<u32>,
    },
}

impl Newcomers {
    /// Begins to collect news.
    pub(super) fn watch(procfs: ProcFs) -> (Self, Watching) {
        match connect(&procfs) {
            Ok(socket) => (Self::Connector(socket), Watching::Events),
            Err(errno) => {
                let known = procfs.pids().unwrap_or_default().into_iter().collect();
                (
                    Self::Listing { procfs, known },
                    Watching::Listing(errno.into()),
                )
            }
        }
    }

    /// Becomes readable with news, if there is such a thing.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Connector(socket) => Some(socket.as_fd()),
            Self::Listing { .. } => None,
        }
    }

    /// How long to wait for the descriptor at most.
    pub(super) fn patience(&self) -> Option<Duration> {
        match self {
            Self::Connector(_) => None,
            Self::Listing { .. } => Some(LIST_EVERY),
        }
    }

    /// What has happened since the last call.
    pub(super) fn read(&mut self) -> io::Result<Vec<News>> {
        match self {
            Self::Connector(socket) => receive(socket),
            Self::Listing { procfs, known } => {
                let now: BTreeSet<u32> = procfs.pids()?.into_iter().collect();
                let ended = known.difference(&now).map(|pid| News::Ended(*pid));
                let started = now.difference(known).map(|pid| News::Executed(*pid));
                let news = ended.chain(started).collect();
                *known = now;
                Ok(news)
            }
        }
    }
}

fn connect(procfs: &ProcFs) -> rustix::io::Result<OwnedFd> {
    // Elsewhere the kernel takes the subscription and sends nothing.
    if procfs.pid_namespace().is_some() {
        return Err(Errno::NOTSUP);
    }
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(netlink::CONNECTOR),
    )?;
    bind(&socket, &SocketAddrNetlink::new(0, PROC))?;
    // Beyond the usual limit with CAP_NET_ADMIN only.
    if sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER).is_err() {
        sockopt::set_socket_recv_buffer_size(&socket, BUFFER)?;
    }
    send(&socket, &subscription(), SendFlags::empty())?;
    Ok(socket)
}

/// `struct nlmsghdr`, `struct cn_msg`, and the operation.
fn subscription() -> Vec<u8> {
    let size = HEADERS as u32 + 4;
    // The length of the operation and the flags share a word.
    let length = if cfg!(target_endian = "little") {
        4
    } else {
        4 << 16
    };
    let header = [size, DONE, 0, 0];
    let message = [PROC, PROC, 0, 0, length, LISTEN];
    let words = header.into_iter().chain(message);
    words.flat_map(u32::to_ne_bytes).collect()
}

fn receive(socket: &OwnedFd) -> io::Result<Vec<News>> {
    let mut news = Vec::new();
    let mut message = [0_u8; 4096];
    loop {
        match recv(socket, &mut message[..], RecvFlags::empty()) {
            Ok((size, _)) => news.extend(decode(&message[..size])),
            Err(Errno::AGAIN) => return Ok(news),
            Err(Errno::INTR) => {}
            Err(Errno::NOBUFS) => news.push(News::Lost),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// One message; `None` for what says nothing of interest, new threads for instance.
fn decode(message: &[u8]) -> Option<News> {
    // `enum proc_cn_event`
    const FORK: u32 = 1;
    const EXEC: u32 = 2;
    const EXIT: u32 = 0x8000_0000;
    let word = |at: usize| {
        let bytes = message.get(at..)?.first_chunk()?;
        Some(u32::from_ne_bytes(*bytes))
    };
    let event = |index: usize| word(HEADERS + EVENT_HEADER + index * 4);
    match word(HEADERS)? {
        // Thread and process of the parent, then of the child.
        FORK => (event(1)? != event(3)?).then_some(News::Started(event(3)?)),
        EXEC => Some(News::Executed(event(1)?)),
        EXIT => (event(0)? == event(1)?).then_some(News::Ended(event(1)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(what: u32, data: &[u32]) -> Vec<u8> {
        let head = [0; HEADERS / 4];
        let words = head
            .into_iter()
            .chain([what, 0, 7, 0])
            .chain(data.iter().copied());
        words.flat_map(u32::to_ne_bytes).collect()
    }

    /// Processes are told from threads, and what is cut off or of another kind says nothing.
    #[test]
    fn events_are_decoded() {
        let cases: [(u32, &[u32], Option<News>); 8] = [
            (1, &[10, 10, 20, 20], Some(News::Started(20))),
            (1, &[10, 10, 11, 10], None),
            (2, &[21, 20], Some(News::Executed(20))),
            (0x8000_0000, &[20, 20, 0, 0], Some(News::Ended(20))),
            (0x8000_0000, &[21, 20, 0, 0], None),
            (0, &[0], None),
            (4, &[20, 20], None),
            (1, &[10, 10], None),
        ];
        for (what, data, expected) in cases {
            assert_eq!(decode(&message(what, data)), expected, "{what:#x} {data:?}");
        }
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[1; HEADERS]), None);
    }

    /// Without events, the list tells who has come and who has gone.
    #[test]
    fn lists_are_compared() {
        let root = tempfile::tempdir().unwrap();
        let process = |pid: &str| root.path().join(pid);
        std::fs::create_dir(process("10")).unwrap();
        let procfs = ProcFs::with_root(root.path());
        let mut newcomers = Newcomers::Listing {
            known: procfs.pids().unwrap().into_iter().collect(),
            procfs,
        };
        assert_eq!(newcomers.read().unwrap(), []);
        std::fs::create_dir(process("11")).unwrap();
        std::fs::remove_dir(process("10")).unwrap();
        let expected = [News::Ended(10), News::Executed(11)];
        assert_eq!(newcomers.read().unwrap(), expected);
        assert_eq!(newcomers.read().unwrap(), []);
    }
}
