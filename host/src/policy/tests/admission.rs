//! Token buckets.

use super::*;
use crate::config::policy::{RateSettings, TenantRateSettings};
use proptest::prelude::*;

proptest! {
    /// Over any traffic: never more than the burst and what time brings, and no less where more is asked for; and who waits as
    /// long as he is told is let in.
    #[test]
    fn a_bucket_lets_in_what_it_should(
        waits in prop::collection::vec(0_u64..300, 1..300),
        per_second in 1_u32..50,
        burst in 1_u32..20,
    ) {
        let begun = Instant::now();
        let settings = RateSettings { per_second: f64::from(per_second), burst: Some(burst) };
        let rate = Rate::new(settings, begun);
        let mut now = begun;
        let mut let_in = 0;
        for wait in waits {
            now += Duration::from_millis(wait);
            match rate.admit(now) {
                Ok(()) => let_in += 1,
                Err(refusal) => {
                    let wait = refusal.error.retry_after.unwrap();
                    prop_assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1));
                    let too_early = Rate::new(settings, begun);
                    (0..burst).for_each(|_| too_early.admit(begun).unwrap());
                    let wait = too_early.admit(begun).unwrap_err().error.retry_after.unwrap();
                    prop_assert!(too_early.admit(begun + wait - Duration::from_nanos(1)).is_err());
                    prop_assert!(too_early.admit(begun + wait).is_ok());
                }
            }
        }
        let most = f64::from(burst) + now.duration_since(begun).as_secs_f64() * f64::from(per_second) + 0.01;
        prop_assert!(f64::from(let_in) <= most, "{let_in} of at most {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_asks_too_much_takes_nothing_from_the_others() {
    let stack = stack(&settings("tenant_rate_limit = { per_second = 10, burst = 5 }"), None, &json!({}));
    let of = |tenant: Option<&str>| Context { tenant: tenant.map(Arc::from), ..Context::default() };
    let ask = async |context: Context| call(&stack, &context, |_| async { Ok(()) }).await;
    for _ in 0..5 {
        ask(of(Some("loud"))).await.unwrap();
        ask(of(None)).await.unwrap();
    }
    for _ in 0..1000 {
        let refused = ask(of(Some("loud"))).await.unwrap_err();
        assert_eq!((refused.refused_by, refused.code()), (Some("admission"), Code::ResourceExhausted));
        assert_eq!(refused.error.retry_after, Some(Duration::from_millis(100)));
        assert!(
            refused.error.message.contains("`loud`") && refused.error.message.contains("101 ms"),
            "{refused}"
        );
    }
    assert!(ask(of(None)).await.is_err());
    ask(of(Some("quiet"))).await.unwrap();
    advance(Duration::from_millis(100)).await;
    ask(of(Some("loud"))).await.unwrap();
    assert!(ask(of(Some("loud"))).await.is_err());
}

#[test]
fn the_table_of_tenants_is_bounded_and_those_without_room_share_a_bucket() {
    let now = Instant::now();
    let settings = TenantRateSettings { per_second: 1.0, burst: Some(2), tenants: 3 };
    let rates = TenantRates::new(settings, now);
    let admit = |name: String, now| rates.admit(Some(&Arc::from(name)), now).is_ok();
    let let_in = (0..1000).filter(|n| admit(format!("t{n}"), now)).count();
    assert_eq!((let_in, rates.known()), (5, 3), "three of their own, and two that share");
    // Those that are known keep what is theirs.
    assert!(admit("t0".into(), now) && !admit("t0".into(), now));
    // In time the first are forgotten, and others are known.
    let later = now + Duration::from_secs(10);
    assert!(admit("new".into(), later));
    assert_eq!(rates.known(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_operation_may_have_a_rate_of_its_own_beside_the_instances() {
    let text = "rate_limit = { per_second = 1, burst = 3 }\noperations.op.rate_limit = { per_second = 1, burst = 2 }";
    let stack = stack(&settings(text), None, &json!({}));
    let ask = async || call(&stack, Context::default(), |_| async { Ok(()) }).await;
    assert!(ask().await.is_ok() && ask().await.is_ok());
    assert!(ask().await.is_err(), "its own");
    advance(Duration::from_secs(1)).await;
    assert!(ask().await.is_ok());
    assert!(ask().await.is_err(), "the instance's");
}
