// SPDX-License-Identifier: Apache-2.0
// A Go program: goroutines whose stacks grow, which moves them, while they use C's heap through cgo.
// Waits for SIGUSR1, works, waits for SIGTERM, and then says what it counted.
package main

/*
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) static void* keep_block(size_t size) {
  void* block = malloc(size);
  __asm__ volatile("" : "+r"(block));
  return block;
}

__attribute__((noinline)) static unsigned long borrow_block(size_t size) {
  unsigned char* block = malloc(size);
  memset(block, 7, size);
  unsigned long sum = 0;
  for (size_t i = 0; i < size; ++i) sum += block[i];
  free(block);
  return sum;
}
*/
import "C"

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
)

const keptBytes = 1 << 20

// Each frame makes the stack grow by some hundred bytes; it starts at a few kilobytes.
func dig(depth int, seen *uint64) (sum uint64) {
	var frame [64]uint64
	for i := range frame {
		frame[i] = uint64(depth)
	}
	if depth%16 == 0 {
		*seen += uint64(C.borrow_block(100))
	}
	if depth == 0 {
		panic("bottom")
	}
	sum = dig(depth-1, seen)
	return sum + frame[depth%64]
}

func digAndRecover(depth int) (seen uint64) {
	defer func() {
		if recover() != "bottom" {
			os.Exit(1)
		}
	}()
	dig(depth, &seen)
	return seen
}

func work(rounds int) uint64 {
	var total uint64
	var all sync.WaitGroup
	for worker := 0; worker < 4; worker++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := 0; i < rounds; i++ {
				seen := make(chan uint64)
				go func(depth int) { seen <- digAndRecover(depth) }(i % 200)
				atomic.AddUint64(&total, <-seen)
			}
		}()
	}
	all.Wait()
	return total
}

func await(wanted os.Signal) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, wanted)
	if wanted == syscall.SIGUSR1 {
		fmt.Println("ready", os.Getpid())
	}
	<-signals
}

func main() {
	rounds, err := strconv.Atoi(os.Args[len(os.Args)-1])
	if err != nil {
		os.Exit(2)
	}
	await(syscall.SIGUSR1)
	total := work(rounds)
	for i := 0; i < rounds; i++ {
		C.keep_block(keptBytes)
	}
	runtime.GC()
	fmt.Println("done", os.Getpid())
	await(syscall.SIGTERM)
	fmt.Println("sum", total)
	fmt.Println("leaked keep_block", rounds, rounds*keptBytes)
}
