//! A network device under good and hostile front-ends, for five seconds: `cargo xtask soak net`
//! runs it for a minute. It is one test in a program of its own, because it counts what the
//! process holds.

use std::time::Duration;

use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::soak::net::{Options, Plain, net};

#[test]
fn front_ends_are_served_whatever_the_one_before_did() {
    let _shows = shows(&["VU-058"]);
    // Another one every time; a failure tells which.
    let seed = fastrand::u64(..);
    let mut heard = 0;
    let options = Options::new(seed, Duration::from_secs(5));
    let report = net(options, &Plain, |tally| heard = tally.front_ends);
    if let Some((place, fault)) = &report.failure {
        panic!("{place}: {fault}; {}; {:?}", report.plan, report.tally);
    }
    let tally = report.tally;
    assert_eq!(tally.frames, tally.answers, "{tally:?}");
    assert_eq!(tally.front_ends, heard);
    // It was worth it: everything happened.
    assert!(tally.front_ends > 20 && tally.answers > 500, "{tally:?}");
    let each = [tally.packed, tally.commands, tally.interludes, tally.pokes, tally.waiting];
    assert!(each.iter().all(|count| *count > 0), "{tally:?}");
    let ends = [tally.back_ends, tally.refused, tally.cut, tally.lost, tally.shortened];
    assert!(ends.iter().all(|count| *count > 0), "{tally:?}");
}
