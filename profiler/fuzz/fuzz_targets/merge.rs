//! Any bytes as profiles: they are merged or refused, and what comes out can be merged again and has the same sums.

#![no_main]

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use profiler::pprof::{By, Filter, Merge};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

fn merged(filter: &Filter, profiles: &[&[u8]]) -> Option<Merge> {
    let mut merge = Merge::new(filter.clone());
    let taken = profiles.iter().filter(|profile| merge.add(profile).is_ok()).count();
    (taken > 0).then_some(merge)
}

fuzz_target!(|data: &[u8]| {
    // As they are, the bytes are hardly ever gzip; compressed, they are a message.
    let _ = merged(&Filter::default(), &[data]);
    let (one, other) = data.split_at(data.len() / 2);
    let (whole, one, other) = (gzip(data), gzip(one), gzip(other));
    let profiles: [&[u8]; 3] = [&whole, &one, &other];
    let filter = Filter {
        comm: Some("sh".to_owned()),
        cgroup: Some("/a".to_owned()),
        ..Filter::default()
    };
    let _ = merged(&filter, &profiles).map(Merge::finish);
    let Some(merge) = merged(&Filter::default(), &profiles) else {
        return;
    };
    let finished = merge.finish();
    let mut again = Merge::new(Filter::default());
    again.add(&finished).expect("what was merged is a profile");
    assert_eq!(again.finish(), finished);
    for by in [By::Function, By::File, By::Binary] {
        let tree = merged(&Filter::default(), &[&finished]).expect("it was taken").tree(by, 0.01);
        assert!(tree.nodes.iter().all(|node| node.name < tree.names.len()));
    }
    let _ = merged(&Filter::default(), &profiles).expect("they were taken").totals();
});
