//! Frames: reading and answering them, beside the same work by `smoltcp`, `etherparse` and
//! `dhcproto`; the virtio-net header beside a copy of its bytes; and the whole gateway.
//!
//! Each group is one piece of work on one input, and its rows were compared before: what is
//! written is the same, byte for byte, but for the order of DHCP options, which dhcproto reads.
//! The groups of the gateway have one row: nobody else's gateway takes a frame and gives a frame.

mod peers;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use peers::{dhcproto_dhcp, etherparse_arp, smoltcp_arp, smoltcp_dhcp, smoltcp_ndp};
use vhost_fuzz_benches::frames::{Job, Task, arp_parse, dhcp_parse, ndp_parse};
use vhost_fuzz_benches::{Operation, floor, timed};
use vhost_fuzz_core::net::ndp::Discovery;
use vhost_fuzz_harness::clients::setup;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Bytes that there are for an answer.
const ROOM: usize = 2048;

/// A group that has a row for the operation of the core; `peers` adds the others.
fn group(criterion: &mut Criterion, name: &str, peers: impl FnOnce(&mut Group<'_>, &[u8])) {
    let operation = Operation::find(&format!("net-{name}"));
    let mut prepared = operation.unwrap_or_else(|| panic!("{name}: no operation")).prepare();
    let bytes = prepared.bytes().to_vec();
    let mut group = criterion.benchmark_group(format!("frames/{name}"));
    group.throughput(Throughput::Elements(1));
    group.bench_function("core", |bencher| {
        bencher.iter_custom(|times| timed(|| prepared.run(times)));
    });
    peers(&mut group, &bytes);
    group.finish();
}

fn row<R>(group: &mut Group<'_>, name: &str, input: &[u8], mut turn: impl FnMut(&[u8]) -> R) {
    group.bench_function(name, |bencher| bencher.iter(|| turn(black_box(input))));
}

/// What the core answers to the input of a task.
fn answer(task: Task) -> Vec<u8> {
    Job::new(task).answer().expect("an answer")
}

/// Asserts that a peer writes the same.
fn same(reply: &[u8], out: &[u8], len: Option<usize>) {
    assert_eq!(len.and_then(|len| out.get(..len)), Some(reply), "a peer answers otherwise");
}

fn header(criterion: &mut Criterion) {
    for form in ["plain", "checksum"] {
        for way in ["parse", "build"] {
            group(criterion, &format!("header-{way}-{form}"), |group, bytes| {
                let header = bytes.get(..12).expect("a header");
                let mut out = [0; 12];
                group.bench_function("floor-copy", |bencher| {
                    bencher.iter_custom(|times| timed(|| floor::copy(header, &mut out, times)));
                });
            });
        }
    }
}

fn arp(criterion: &mut Criterion) {
    group(criterion, "arp-parse", |group, frame| {
        let ours = arp_parse(frame).expect("a packet");
        let theirs = etherparse_arp::parse(frame).expect("a packet");
        assert_eq!((ours.sender_mac.0, ours.target_mac.0), (theirs.sender_mac, theirs.target_mac));
        let addresses = (ours.sender.octets(), ours.target.octets());
        assert_eq!(addresses, (theirs.sender_ipv4, theirs.target_ipv4));
        assert!(smoltcp_arp::parse(frame).is_some());
        row(group, "etherparse", frame, etherparse_arp::parse);
        row(group, "smoltcp", frame, smoltcp_arp::parse);
    });
    group(criterion, "arp-reply", |group, frame| {
        let reply = answer(Task::ArpReply);
        let mut out = [0; ROOM];
        let len = etherparse_arp::reply(frame, &mut out);
        same(&reply, &out, len);
        let len = smoltcp_arp::reply(frame, &mut out);
        same(&reply, &out, len);
        row(group, "etherparse", frame, |frame| etherparse_arp::reply(frame, &mut out));
        row(group, "smoltcp", frame, |frame| smoltcp_arp::reply(frame, &mut out));
    });
}

fn dhcp(criterion: &mut Criterion) {
    group(criterion, "dhcp-parse", |group, payload| {
        assert_eq!(smoltcp_dhcp::parse(payload), dhcp_parse(payload));
        assert!(dhcproto_dhcp::parse(payload).is_some());
        row(group, "dhcproto", payload, dhcproto_dhcp::parse);
        row(group, "smoltcp", payload, smoltcp_dhcp::parse);
    });
    group(criterion, "dhcp-reply", |group, payload| {
        let lease = setup::DHCP.config().lease;
        let reply = answer(Task::DhcpReply);
        let expected = dhcproto_dhcp::parse(&reply).expect("a message");
        let (mut theirs, routes) = (Vec::new(), dhcproto_dhcp::routes());
        let len = dhcproto_dhcp::reply(payload, &mut theirs, lease, &routes);
        assert_eq!(
            (len, dhcproto_dhcp::parse(&theirs)),
            (Some(reply.len()), Some(expected.clone()))
        );
        let mut out = [0; ROOM];
        let len = smoltcp_dhcp::reply(payload, &mut out, lease);
        assert_eq!(len, Some(reply.len()));
        assert_eq!(dhcproto_dhcp::parse(&out[..reply.len()]), Some(expected));
        row(group, "dhcproto", payload, |payload| {
            dhcproto_dhcp::reply(payload, &mut theirs, lease, &routes)
        });
        row(group, "smoltcp", payload, |payload| smoltcp_dhcp::reply(payload, &mut out, lease));
    });
}

fn ndp(criterion: &mut Criterion) {
    group(criterion, "ndp-parse", |group, frame| {
        let (.., target) = smoltcp_ndp::parse(frame).expect("a solicitation");
        assert_eq!(ndp_parse(frame), Some(Discovery::NeighborSolicitation { target }));
        row(group, "smoltcp", frame, smoltcp_ndp::parse);
    });
    group(criterion, "ndp-reply", |group, frame| {
        let reply = answer(Task::NdpReply);
        let mut out = [0; ROOM];
        let len = smoltcp_ndp::reply(frame, &mut out);
        same(&reply, &out, len);
        row(group, "smoltcp", frame, |frame| smoltcp_ndp::reply(frame, &mut out));
    });
}

fn gateway(criterion: &mut Criterion) {
    for asked in ["arp", "discover", "echo", "echo-ipv6", "neighbor", "router"] {
        group(criterion, &format!("gateway-{asked}"), |_, _| {});
    }
}

criterion_group! {
    name = frames;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700))
        .sample_size(50)
        .without_plots();
    targets = header, arp, dhcp, ndp, gateway
}
criterion_main!(frames);
