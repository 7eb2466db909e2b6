//! Every oracle catches the implementation that is broken for it.

/// A test for each mistake: `name: Mistake by "oracle";`. The module around it has the mistakes in
/// `broken`, and says in `assert_caught` what it demands of the oracle.
macro_rules! caught {
    ($($test:ident: $twin:ident by $oracle:literal;)*) => {$(
        #[test]
        fn $test() {
            assert_caught::<broken::$twin>($oracle);
        }
    )*};
}

mod codec;
mod control;
mod dhcp;
mod dhcpv6;
mod diff;
mod diff_queue;
mod gateway;
mod memory;
mod ndp;
mod net_device;
mod net_header;
mod ring;
mod ring_equivalence;
mod session;
