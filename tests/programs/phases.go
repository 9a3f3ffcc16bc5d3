// Go target program: a goroutine that calls main.outer → main.workA or main.workB → main.middle → main.leaf,
// with 70 % of the CPU time in workA.
//
// Same arguments and output as the C programs, see target.h.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const (
	roundsPerPiece = 200000
	// include/uapi/linux/time.h
	processClock = 2
	threadClock  = 3
)

var sink uint64

//go:noinline
func leaf(seed uint64, rounds int) uint64 {
	for round := 0; round < rounds; round++ {
		seed = mix(seed + uint64(round))
	}
	return seed
}

// Small enough that the compiler inlines it into leaf.
func mix(value uint64) uint64 {
	value ^= value >> 33
	value *= 0xff51afd7ed558ccd
	return value ^ value>>29
}

//go:noinline
func middle(seed uint64, rounds int) uint64 {
	return leaf(seed, rounds) + 1
}

//go:noinline
func workA(rounds int) {
	sink = middle(sink, rounds)
}

//go:noinline
func workB(rounds int) {
	sink = middle(sink^1, rounds)
}

//go:noinline
func outer(goesOn func() bool) (aNs, bNs uint64) {
	// CPU time is counted by thread, so this goroutine stays on one.
	runtime.LockOSThread()
	before := cpuNs(threadClock)
	for goesOn() {
		phase := &bNs
		if aNs*3 <= bNs*7 {
			phase = &aNs
			workA(roundsPerPiece)
		} else {
			workB(roundsPerPiece)
		}
		after := cpuNs(threadClock)
		*phase += after - before
		before = after
	}
	return aNs, bNs
}

func main() {
	arguments := os.Args[1:]
	wait := len(arguments) > 0 && arguments[0] == "--wait"
	if wait {
		arguments = arguments[1:]
	}
	var limit uint64
	if len(arguments) > 0 {
		seconds, err := strconv.ParseFloat(arguments[0], 64)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		limit = uint64(seconds * 1e9)
	}
	fmt.Printf("ready %d\n", os.Getpid())
	input := bufio.NewReader(os.Stdin)
	if wait {
		input.ReadString('\n')
	}
	var closed uint32
	if limit == 0 {
		go func() {
			io.Copy(io.Discard, input)
			atomic.StoreUint32(&closed, 1)
		}()
	}
	start := cpuNs(processClock)
	used := func() uint64 { return cpuNs(processClock) - start }
	goesOn := func() bool {
		if limit == 0 {
			return atomic.LoadUint32(&closed) == 0
		}
		return used() < limit
	}
	done := make(chan [2]uint64)
	go func() {
		a, b := outer(goesOn)
		done <- [2]uint64{a, b}
	}()
	spent := <-done
	fmt.Printf("cpu total=%d work_a=%d work_b=%d\n", used(), spent[0], spent[1])
}

func cpuNs(clock uintptr) uint64 {
	var time syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&time)), 0)
	return uint64(time.Nano())
}
