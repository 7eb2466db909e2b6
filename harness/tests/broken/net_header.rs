//! Every oracle of the header in front of a frame catches the implementation that is broken for
//! it, on the committed corpus and by its own name. One without a mistake passes.

use vhost_fuzz_harness::broken::net_header as broken;
use vhost_fuzz_harness::broken::verdicts::{Verdict, assert_spoke, verdicts};
use vhost_fuzz_harness::offload::{Core, Offload};
use vhost_fuzz_harness::target::net_header;

/// Runs the corpus through what `make` makes, anew for each seed.
fn said<O: Offload>(make: fn() -> O) -> Vec<Verdict> {
    verdicts("net_header", |bytes| _ = net_header::check(&make(), bytes))
}

#[test]
fn headers_without_a_mistake_pass() {
    assert_eq!(said(|| Core), []);
}

macro_rules! caught {
    ($($(#[$condition:meta])? $test:ident: $twin:ident by $oracle:literal;)*) => {$(
        $(#[$condition])?
        #[test]
        fn $test() {
            assert_spoke(&said(|| broken::$twin), $oracle);
        }
    )*};
}

caught! {
    a_header_that_is_longer_than_it_knows: KnowsShortHeaders by "model";
    a_chain_that_ends_with_its_header: TakesNoFrame by "model";
    a_frame_that_ends_in_its_ethernet_header: TakesShortFrames by "model";
    a_writable_byte_that_is_not_seen: IgnoresWritable by "model";
    a_sum_that_wraps: AddsIn16Bits by "model";
    a_segment_size_of_0: CutsIntoNothing by "model";
    a_type_that_is_not_compared: TrustsTheType by "model";
    #[cfg(feature = "peer-net")]
    a_header_length_that_is_trusted: TrustsHdrLen by "wire check";
    #[cfg(feature = "peer-net")]
    a_tag_that_counts_twice: CountsTagsTwice by "wire check";
    a_flag_that_is_refused: RefusesUnknownFlags by "model";
    a_long_frame_that_is_refused: RefusesLongFrames by "model";
    an_implied_feature_that_is_refused: WantsCsum by "model";
    a_checksum_that_is_forgotten: ForgetsTheChecksum by "model";
    a_frame_that_is_copied: Allocates by "budget";
    a_checksum_of_0: WritesZero by "checksum";
    stale_bytes_behind_a_short_header: LeavesStaleBytes by "round trip";
    a_swapped_field: SwapsFields by "round trip";
    a_flag_for_a_driver_that_did_not_ask: SaysMore by "model";
    a_kind_for_a_driver_that_did_not_ask: GivesEveryKind by "model";
    a_place_without_the_ethernet_header: ForgetsTheEthernetHeader by "model";
    a_right_checksum_in_a_tunnel: PassesValidOn by "model";
    a_size_without_segments: SaysASize by "model";
}

#[test]
fn stale_bytes_of_a_header_for_the_driver() {
    assert_spoke(&said(|| broken::LeavesStaleBytes), "model");
}

#[test]
fn a_port_that_stalls_after_a_refusal() {
    assert_spoke(&said(broken::Stalls::default), "liveness");
}
