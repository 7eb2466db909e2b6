//! Every oracle of the DHCP target catches the server that is broken for it, on the committed
//! corpus and by its own name. One without a mistake passes.

use vhost_fuzz_core::net::dhcp::Server;
use vhost_fuzz_harness::broken::dhcp as broken;
use vhost_fuzz_harness::broken::verdicts::{Verdict, assert_spoke, verdicts};
use vhost_fuzz_harness::dhcp::Responder;
use vhost_fuzz_harness::target::dhcp;

fn run<R: Responder>() -> Vec<Verdict> {
    verdicts("dhcp", |bytes| _ = dhcp::check::<R>(bytes))
}

#[test]
fn a_server_without_a_mistake_passes() {
    assert_eq!(run::<Server>(), []);
    assert_eq!(run::<broken::Nothing>(), []);
}

/// Demands that the named oracle spoke.
#[track_caller]
fn assert_caught<R: Responder>(oracle: &str) {
    assert_spoke(&run::<R>(), oracle);
}

caught! {
    a_relay_that_is_served: ServesRelays by "model";
    a_name_server_out_of_order: OtherDns by "model";
    a_stranger_that_is_served: ServesStrangers by "model";
    a_declined_address_that_comes_back_at_once: HoldsNothing by "model";
    a_wrong_address_that_is_not_refused: NeverRefuses by "model";
    an_option_that_is_read_by_its_first_part: TakesTheFirst by "model";
    an_end_that_is_demanded: WantsAnEnd by "model";
    a_broadcast_flag_that_is_not_seen: NeverBroadcasts by "model";
    a_nak_by_unicast: NaksByUnicast by "model";
    a_byte_that_is_left: LeavesAByte by "model";
    a_byte_too_many: WritesBehind by "model";
    memory_for_each_message: Allocates by "budget";
    a_server_that_gives_up: GivesUp by "liveness";
}

#[cfg(feature = "peer-net")]
caught! {
    a_short_answer: DoesNotPad by "wire check";
    a_transaction_id_of_another: SwapsTheId by "wire check";
    an_offer_without_a_lease: ForgetsTheLease by "wire check";
    a_request_that_is_repeated: RepeatsTheRequest by "wire check";
    a_nak_with_an_address: NaksWithAnAddress by "wire check";
    a_default_route_without_a_link: ForgetsTheLink by "wire check";
}
