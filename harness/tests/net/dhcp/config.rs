//! What a port can hand out at all.

use std::net::Ipv4Addr;

use vhost_fuzz_core::net::dhcp::{Config, ConfigError, Route, Server};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::dhcp::{ADDRESS, FAR_ROUTER, NEAR_ROUTER};
use vhost_fuzz_harness::evidence::shows;

fn with(change: impl FnOnce(&mut Config)) -> Result<(), ConfigError> {
    let mut config = Config::new(ADDRESS, FAR_ROUTER);
    change(&mut config);
    Server::new(config).map(drop)
}

#[test]
fn addresses_are_those_of_hosts() {
    for address in [[0; 4], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]].map(Ipv4Addr::from) {
        assert_refused!(with(|it| it.address = address), ConfigError::NoHost { address });
        assert_refused!(with(|it| it.server = address), ConfigError::NoHost { address });
        assert_refused!(with(|it| it.router = Some(address)), ConfigError::NoHost { address });
    }
    let taken = ConfigError::Taken { address: ADDRESS };
    assert_refused!(with(|it| it.server = ADDRESS), taken);
    assert_refused!(with(|it| it.router = Some(ADDRESS)), taken);
    assert_refused!(with(|it| it.prefix = 33), ConfigError::Prefix { prefix: 33 });
    for mtu in [0, 68, 575] {
        assert_refused!(with(|it| it.mtu = mtu), ConfigError::Mtu { mtu });
    }
    assert_eq!(with(|it| it.mtu = 576), Ok(()));
}

#[test]
fn a_lease_is_long_enough_for_its_timers() {
    for lease in 0..3 {
        assert_refused!(with(|it| it.lease = lease), ConfigError::Lease { lease });
    }
    for lease in [3, 4, u32::MAX - 1, u32::MAX] {
        assert_eq!(with(|it| it.lease = lease), Ok(()));
    }
}

#[test]
fn routes_are_networks() {
    let router = FAR_ROUTER;
    let route =
        |destination: [u8; 4], width| Route { destination: destination.into(), width, router };
    let bad = [
        route([10, 0, 0, 0], 33),
        route([10, 0, 0, 0], 255),
        route([10, 0, 0, 1], 31),
        route([10, 128, 0, 0], 8),
        route([128, 0, 0, 0], 0),
    ];
    for route in bad {
        assert_refused!(with(|it| it.routes.push(route)), ConfigError::Route { route });
    }
    let good = [route([10, 0, 0, 1], 32), route([128, 0, 0, 0], 1), route([10, 0, 0, 0], 7)];
    for route in good {
        assert_eq!(with(|it| it.routes.push(route)), Ok(()));
    }
    assert_refused!(with(|it| it.routes.truncate(1)), ConfigError::NoDefault);
}

#[test]
fn a_router_can_be_reached_before_it_is_used() {
    let far = ConfigError::FarRouter { router: FAR_ROUTER };
    assert_refused!(with(|it| it.routes.reverse()), far);
    assert_refused!(with(|it| it.routes.clear()), far);
    assert_refused!(with(|it| it.routes = it.routes.drain(1..).collect()), far);
    assert_refused!(with(|it| _ = it.routes.remove(0)), far);
    let near = |it: &mut Config| {
        it.router = Some(NEAR_ROUTER);
        it.prefix = 24;
        it.routes.clear();
    };
    assert_eq!(with(near), Ok(()));
    let none = |it: &mut Config| {
        it.router = None;
        it.routes.clear();
    };
    assert_eq!(with(none), Ok(()));
}

#[test]
fn what_is_handed_out_is_bounded() {
    let full = |it: &mut Config| {
        let route = Route { destination: [10, 0, 0, 1].into(), width: 32, router: FAR_ROUTER };
        it.routes.extend([route; 30]);
        it.domain.extend([b'd'; 255]);
        it.host_name.extend([b'h'; 64]);
        it.tftp_server.extend([b't'; 64]);
        it.boot_file.extend([b'b'; 128]);
    };
    assert_refused!(with(full), ConfigError::TooMuch);
    let _shows = shows(&["DC-122"]);
    let less = |it: &mut Config| {
        full(it);
        it.domain.clear();
    };
    assert_eq!(with(less), Ok(()));
    assert!(ConfigError::TooMuch.to_string().ends_with(": DC-122"));
}
