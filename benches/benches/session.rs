//! A session without sockets: single requests, and a whole recorded session.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vhost_fuzz_benches::{Operation, session, timed};
use vhost_fuzz_core::session::Step;
use vhost_fuzz_harness::corpus;
use vhost_fuzz_harness::target::diff_vhost::{End, Request, requests};

/// The recording: a block device, from the first message to the last.
const RECORDED: &str = "qemu-vublk-qsd";

fn single(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session");
    for operation in Operation::starting_with("session-") {
        let request = operation.name.trim_start_matches("session-");
        let mut prepared = operation.prepare();
        group.bench_function(request, |bencher| {
            bencher.iter_custom(|times| timed(|| prepared.run(times)));
        });
    }
    group.finish();
}

/// What a recorded front-end asked for.
fn recorded() -> Vec<Request> {
    let seeds = corpus::seeds("diff_vhost").expect("a corpus");
    let seed = seeds.into_iter().find(|seed| seed.name == RECORDED).expect("the recording");
    requests(&seed.bytes).filter(|request| request.end == End::Whole).collect()
}

fn whole(criterion: &mut Criterion) {
    let requests: Vec<(Vec<u8>, u32)> = recorded()
        .into_iter()
        .map(|request| (request.bytes, u32::try_from(request.fds.len()).expect("at most 8")))
        .collect();
    let mut session = session::new();
    let mut play = || {
        let mut replies = 0;
        for (bytes, fds) in &requests {
            session::take(&mut session, bytes, *fds, |step| match step {
                Step::Reply(reply) => replies += usize::from(reply.refusal.is_none()),
                Step::Close(refusal) => panic!("the recording is refused: {refusal}"),
                _ => {}
            });
        }
        session.reset();
        replies
    };
    let expected = play();
    assert!(expected > 5, "a recording with replies");
    let mut group = criterion.benchmark_group("session/recorded");
    group.throughput(Throughput::Elements(requests.len() as u64));
    group.bench_function(RECORDED, |bencher| {
        bencher.iter(|| assert_eq!(play(), expected, "the replies"));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700))
        .sample_size(50)
        .without_plots();
    targets = single, whole
}
criterion_main!(benches);
