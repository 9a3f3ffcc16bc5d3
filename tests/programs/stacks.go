// Go target program that knows its stack, as stacks.c does: recursion, a stack that grows, a callback, goroutines,
// garbage, and C without frame pointers.
//
// Same arguments and output as the C programs, see target.h.
package main

/*
#include <stdint.h>

static __attribute__((noinline, noclone)) uint64_t in_c_inner(uint64_t value, int rounds) {
    for (int round = 0; round < rounds; round++)
        value = (value ^ (value >> 7)) * 31 + (uint64_t)round;
    return value;
}

static __attribute__((noinline, noclone)) uint64_t in_c_outer(uint64_t value, int rounds) {
    value = in_c_inner(value, rounds);
    __asm__ volatile("" ::: "memory");
    return value;
}
*/
import "C"

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const stacks = `main.main < runtime.main
runtime.main < runtime.goexit
runtime.goexit < !end
main.work < main.main
main.phaseRecursion < main.work
main.descend*100 < main.phaseRecursion
main.bottom < main.descend
main.phaseGrowing < main.work
main.grow*60 < main.phaseGrowing
main.grown < main.grow
main.phaseSorting < main.work
main.compare < main.phaseSorting via sort.,main.numbers,main.(*numbers)
main.phaseGarbage < main.work
main.plant*12 < main.phaseGarbage
main.phaseC < main.work
in_c_outer < main.phaseC via _cgo_,runtime.,main._Cfunc,main.phaseC.func
in_c_inner < in_c_outer
main.goroutine < runtime.goexit via [main.main.]
main.goroutineLeaf < main.goroutine
`

const (
	roundsPerPiece = 200000
	// include/uapi/linux/time.h
	processClock = 2
)

var (
	sink    uint64
	stopped uint32
)

// Inlined into each function that uses time, so that there is no leaf that all would call.
func mix(value uint64) uint64 {
	return (value^value>>7)*31 + 7
}

//go:noinline
func bottom(rounds int) uint64 {
	value := uint64(1)
	for round := 0; round < rounds; round++ {
		value = mix(value + uint64(round))
	}
	return value
}

//go:noinline
func descend(depth, rounds int) uint64 {
	if depth == 1 {
		return bottom(rounds) + 1
	}
	return descend(depth-1, rounds) + 1
}

//go:noinline
func phaseRecursion(rounds int) { sink += descend(100, rounds) }

//go:noinline
func grown(rounds int) uint64 {
	value := uint64(2)
	for round := 0; round < rounds; round++ {
		value = mix(value ^ uint64(round))
	}
	return value
}

//go:noinline
func grow(depth, rounds int) uint64 {
	var large [1000]byte
	large[depth] = byte(rounds)
	if depth == 1 {
		return grown(rounds) + uint64(large[rounds%1000])
	}
	return grow(depth-1, rounds) + uint64(large[rounds%1000])
}

// On a goroutine of its own this would begin with a small stack each time; on this one the collector shrinks it again.
//
//go:noinline
func phaseGrowing(rounds int) { sink += grow(60, rounds) }

type numbers []uint64

func (n numbers) Len() int           { return len(n) }
func (n numbers) Swap(i, j int)      { n[i], n[j] = n[j], n[i] }
func (n numbers) Less(i, j int) bool { return compare(n[i], n[j]) }

//go:noinline
func compare(one, other uint64) bool {
	value := one
	for round := 0; round < 20; round++ {
		value = mix(value)
	}
	sink ^= value
	return one < other
}

//go:noinline
func phaseSorting(rounds int) {
	all := make(numbers, rounds/500)
	for i := range all {
		all[i] = mix(uint64(i) * 0x9e3779b97f4a7c15)
	}
	sort.Sort(all)
}

type tree struct{ left, right *tree }

//go:noinline
func plant(depth int) *tree {
	if depth == 1 {
		return &tree{}
	}
	return &tree{plant(depth - 1), plant(depth - 1)}
}

//go:noinline
func phaseGarbage(rounds int) {
	if plant(12).left == nil {
		sink++
	}
}

//go:noinline
func phaseC(rounds int) { sink += uint64(C.in_c_outer(C.uint64_t(sink), C.int(rounds))) }

//go:noinline
func goroutineLeaf(rounds int) uint64 {
	value := uint64(3)
	for round := 0; round < rounds; round++ {
		value = mix(value - uint64(round))
	}
	return value
}

//go:noinline
func goroutine() {
	value := uint64(0)
	for atomic.LoadUint32(&stopped) == 0 {
		value += goroutineLeaf(roundsPerPiece)
	}
	atomic.AddUint64(&sink, value)
}

//go:noinline
func work(goesOn func() bool) {
	phases := []func(int){phaseRecursion, phaseGrowing, phaseSorting, phaseGarbage, phaseC}
	lengths := uint64(2463534242)
	for next := 0; goesOn(); next++ {
		lengths = mix(lengths)
		phases[next%len(phases)](roundsPerPiece/2 + int(lengths%roundsPerPiece))
	}
}

func main() {
	arguments := os.Args[1:]
	if len(arguments) > 0 && arguments[0] == "--stacks" {
		fmt.Print(stacks)
		return
	}
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
	if limit == 0 {
		go func() {
			io.Copy(io.Discard, input)
			atomic.StoreUint32(&stopped, 1)
		}()
	}
	start := cpuNs(processClock)
	done := make(chan bool)
	go func() {
		goroutine()
		done <- true
	}()
	work(func() bool {
		if limit == 0 {
			return atomic.LoadUint32(&stopped) == 0
		}
		return cpuNs(processClock)-start < limit
	})
	atomic.StoreUint32(&stopped, 1)
	<-done
	fmt.Printf("cpu total=%d\n", cpuNs(processClock)-start)
}

func cpuNs(clock uintptr) uint64 {
	var time syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&time)), 0)
	return uint64(time.Nano())
}
