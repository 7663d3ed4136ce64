// SPDX-License-Identifier: Apache-2.0
//
// A Rust release build that leaks through generics, closures, trait objects and while it panics.
// Says what it leaked and its stacks as the C programs beside it do, see stack_truth.h.
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fmt::Write;
use std::panic;

type NoteFrame = extern "C" fn(*mut c_void, *mut c_void) -> i32;

extern "C" {
    fn _Unwind_Backtrace(note: NoteFrame, to: *mut c_void) -> i32;
    fn _Unwind_GetIPInfo(context: *mut c_void, interrupted: *mut i32) -> usize;
}

extern "C" fn note_frame(context: *mut c_void, to: *mut c_void) -> i32 {
    let addresses = unsafe { &mut *(to as *mut Vec<usize>) };
    let mut interrupted = 0;
    let address = unsafe { _Unwind_GetIPInfo(context, &mut interrupted) };
    if address != 0 {
        addresses.push(address + (interrupted != 0) as usize);
    }
    0
}

/// The value, of which the compiler knows nothing any more: std::hint::black_box is newer than the
/// rustc of Debian 12.
fn black_box<T>(value: T) -> T {
    let copy = unsafe { std::ptr::read_volatile(&value) };
    std::mem::forget(value);
    copy
}

/// Of its caller's callers.
#[inline(never)]
fn say(function: &str, count: usize, size: usize) {
    let mut addresses: Vec<usize> = Vec::new();
    let to: *mut Vec<usize> = &mut addresses;
    unsafe { _Unwind_Backtrace(note_frame, to as *mut c_void) };
    let mut line = String::new();
    for address in addresses.iter().skip(2) {
        write!(line, " {:x}", address).unwrap();
    }
    println!("leaked {} {} {}", function, count, count * size);
    println!("stack {}{}", function, line);
}

trait Shape {
    fn keep(&self, count: usize);
}

struct Circle;

impl Shape for Circle {
    #[inline(never)]
    fn keep(&self, count: usize) {
        for _ in 0..count {
            black_box(Box::leak(Box::new([1u8; 24])));
        }
        say("keep", count, 24);
    }
}

#[inline(never)]
fn through_trait(shape: &dyn Shape, count: usize) -> usize {
    shape.keep(count);
    black_box(count)
}

#[inline(never)]
fn leak_generic<T: Default + Clone>(count: usize) -> usize {
    for _ in 0..count {
        std::mem::forget(black_box(vec![T::default(); 10]));
    }
    say("leak_generic", count, 10 * std::mem::size_of::<T>());
    black_box(count)
}

#[inline(never)]
fn call_twice(mut work: impl FnMut(usize) -> usize) -> usize {
    let first = work(1);
    black_box(first)
}

#[inline(never)]
fn leak_in_closure(count: usize) -> usize {
    let done = call_twice(|factor| {
        for _ in 0..count * factor {
            std::mem::forget(black_box(Vec::<u8>::with_capacity(56)));
        }
        say("leak_in_closure", count, 56);
        count
    });
    black_box(done)
}

struct Guard(usize);

impl Drop for Guard {
    #[inline(never)]
    fn drop(&mut self) {
        for _ in 0..self.0 {
            std::mem::forget(black_box(Vec::<u8>::with_capacity(72)));
        }
        say("drop", self.0, 72);
    }
}

#[inline(never)]
fn panics(count: usize) -> usize {
    let guard = Guard(count);
    if black_box(count) > 0 {
        panic::resume_unwind(Box::new(0u8));
    }
    guard.0
}

#[inline(never)]
fn catches(count: usize) -> usize {
    let caught = panic::catch_unwind(|| panics(count));
    black_box(caught.is_err() as usize)
}

#[inline(never)]
fn leak_tree(count: usize) -> usize {
    for i in 0..count {
        let mut tree = BTreeMap::new();
        tree.insert(i, i);
        std::mem::forget(black_box(tree));
    }
    black_box(count)
}

fn main() {
    let count: usize = 20;
    through_trait(&Circle, count);
    leak_generic::<u32>(count);
    leak_in_closure(count);
    catches(count);
    black_box(leak_tree(count));
}
