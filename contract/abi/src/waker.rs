//! Wakers across the boundary. Either side may be the one that polls, so the same code serves both.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Waker};

/// A waker: an object that begins with a pointer to its table. Always handled by pointer.
#[repr(C)]
pub struct ChassisWaker {
    /// What can be done with it.
    pub vtable: *const ChassisWakerVtable,
}

/// What can be done with a waker, from any thread.
#[repr(C)]
pub struct ChassisWakerVtable {
    /// A waker of the caller's own, to be given to `wake` or `drop` once.
    pub clone: unsafe extern "C" fn(waker: *const ChassisWaker) -> *const ChassisWaker,
    /// Wakes, and takes the waker.
    pub wake: unsafe extern "C" fn(waker: *const ChassisWaker),
    /// Wakes; the waker stays.
    pub wake_by_ref: unsafe extern "C" fn(waker: *const ChassisWaker),
    /// Gives the waker back.
    pub drop: unsafe extern "C" fn(waker: *const ChassisWaker),
}

/// A Rust waker lent over the boundary for one poll. It costs nothing until the other side clones it.
#[repr(C)]
pub struct LentWaker<'a> {
    base: ChassisWaker,
    waker: &'a Waker,
}

impl<'a> LentWaker<'a> {
    /// Lends `waker`.
    pub fn new(waker: &'a Waker) -> Self {
        Self { base: ChassisWaker { vtable: &LENT }, waker }
    }

    /// What goes over the boundary; valid as long as `self` stays where it is. A waker that came over the boundary goes back as
    /// it came: wrapped once more, it would be made anew at every poll of a connection.
    pub fn as_ptr(&self) -> *const ChassisWaker {
        if std::ptr::eq(self.waker.vtable(), &FOREIGN) {
            return self.waker.data().cast();
        }
        (&raw const *self).cast()
    }
}

#[repr(C)]
struct KeptWaker {
    base: ChassisWaker,
    waker: Waker,
}

// SAFETY: `base` points to a static table; `waker` is Send and Sync itself.
unsafe impl Send for KeptWaker {}
// SAFETY: as above.
unsafe impl Sync for KeptWaker {}

static LENT: ChassisWakerVtable =
    ChassisWakerVtable { clone: lent_clone, wake: lent_wake, wake_by_ref: lent_wake, drop: lent_drop };
static KEPT: ChassisWakerVtable =
    ChassisWakerVtable { clone: kept_clone, wake: kept_wake, wake_by_ref: kept_wake_by_ref, drop: kept_drop };

unsafe extern "C" fn lent_clone(waker: *const ChassisWaker) -> *const ChassisWaker {
    // SAFETY: this table is only ever in a LentWaker, alive for the poll that this runs in.
    let lent = unsafe { &*waker.cast::<LentWaker<'_>>() };
    let kept = KeptWaker { base: ChassisWaker { vtable: &KEPT }, waker: lent.waker.clone() };
    Arc::into_raw(Arc::new(kept)).cast()
}

unsafe extern "C" fn lent_wake(waker: *const ChassisWaker) {
    // SAFETY: as in lent_clone.
    unsafe { &*waker.cast::<LentWaker<'_>>() }.waker.wake_by_ref();
}

unsafe extern "C" fn lent_drop(_: *const ChassisWaker) {}

unsafe extern "C" fn kept_clone(waker: *const ChassisWaker) -> *const ChassisWaker {
    // SAFETY: this table is only ever in an Arc<KeptWaker>, of which the caller holds a count.
    unsafe { Arc::increment_strong_count(waker.cast::<KeptWaker>()) };
    waker
}

unsafe extern "C" fn kept_wake(waker: *const ChassisWaker) {
    // SAFETY: as in kept_clone; the caller gives its count up.
    match Arc::try_unwrap(unsafe { Arc::from_raw(waker.cast::<KeptWaker>()) }) {
        Ok(last) => last.waker.wake(),
        Err(shared) => shared.waker.wake_by_ref(),
    }
}

unsafe extern "C" fn kept_wake_by_ref(waker: *const ChassisWaker) {
    // SAFETY: as in kept_clone.
    unsafe { &*waker.cast::<KeptWaker>() }.waker.wake_by_ref();
}

unsafe extern "C" fn kept_drop(waker: *const ChassisWaker) {
    // SAFETY: as in kept_wake.
    drop(unsafe { Arc::from_raw(waker.cast::<KeptWaker>()) });
}

/// Runs `poll` with a Rust waker made of one that came over the boundary. The waker is only borrowed; a clone of it takes a
/// clone on the other side. One that this side has lent, and that comes back, is the Rust waker it was.
///
/// # Safety
/// `waker` is valid for this call, as the rules of the crate say.
pub unsafe fn with_waker<T>(waker: *const ChassisWaker, poll: impl FnOnce(&Waker) -> T) -> T {
    // SAFETY: the caller vouches for the waker.
    let vtable = unsafe { (*waker).vtable };
    if std::ptr::eq(vtable, &LENT) {
        // SAFETY: as in lent_clone.
        return poll(unsafe { &*waker.cast::<LentWaker<'_>>() }.waker);
    }
    if std::ptr::eq(vtable, &KEPT) {
        // SAFETY: as in kept_clone.
        return poll(&unsafe { &*waker.cast::<KeptWaker>() }.waker);
    }
    // SAFETY: FOREIGN's functions hand the pointer to its own table; ManuallyDrop, as it is borrowed.
    let borrowed = ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(waker.cast(), &FOREIGN)) });
    poll(&borrowed)
}

static FOREIGN: RawWakerVTable =
    RawWakerVTable::new(foreign_clone, foreign_wake, foreign_wake_by_ref, foreign_drop);

unsafe fn foreign_clone(data: *const ()) -> RawWaker {
    let waker = data.cast::<ChassisWaker>();
    // SAFETY: the pointer is a live waker of the other side.
    RawWaker::new(unsafe { ((*(*waker).vtable).clone)(waker) }.cast(), &FOREIGN)
}

unsafe fn foreign_wake(data: *const ()) {
    let waker = data.cast::<ChassisWaker>();
    // SAFETY: as in foreign_clone; the count is given up.
    unsafe { ((*(*waker).vtable).wake)(waker) }
}

unsafe fn foreign_wake_by_ref(data: *const ()) {
    let waker = data.cast::<ChassisWaker>();
    // SAFETY: as in foreign_clone.
    unsafe { ((*(*waker).vtable).wake_by_ref)(waker) }
}

unsafe fn foreign_drop(data: *const ()) {
    let waker = data.cast::<ChassisWaker>();
    // SAFETY: as in foreign_wake.
    unsafe { ((*(*waker).vtable).drop)(waker) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Over the boundary and back, with what is between.
    fn there_and_back(waker: &Waker, run: impl FnOnce(&Waker)) {
        let lent = LentWaker::new(waker);
        // SAFETY: `lent` lives for the call.
        unsafe { as_foreign(lent.as_ptr(), |there| run(there)) }
    }

    /// As the other side's copy of this module sees a waker: not as its own.
    unsafe fn as_foreign(waker: *const ChassisWaker, poll: impl FnOnce(&Waker)) {
        // SAFETY: as in with_waker.
        let borrowed = ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(waker.cast(), &FOREIGN)) });
        poll(&borrowed);
    }

    #[test]
    fn a_waker_that_comes_back_is_the_one_that_went() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        there_and_back(&waker, |there| {
            let back = LentWaker::new(there);
            // SAFETY: `back` lives for the call.
            unsafe { with_waker(back.as_ptr(), |own| assert!(own.will_wake(&waker))) };
            let kept = there.clone();
            let back = LentWaker::new(&kept);
            // SAFETY: as above.
            unsafe { with_waker(back.as_ptr(), |own| assert!(own.will_wake(&waker))) };
            kept.wake_by_ref();
            let twice = kept.clone();
            twice.wake();
            kept.wake();
        });
        assert_eq!(count.0.load(Ordering::Relaxed), 3);
        drop(waker);
        assert_eq!(Arc::strong_count(&count), 1, "every clone was given back");
    }
}
