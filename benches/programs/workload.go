// The benchmark's Go program: sorting, hashing in assembly, maps, and trees that keep the garbage collector busy.
//
// Protocol as in workload.c. What the collector does in its own goroutines is outside the phases.
package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"sort"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// include/uapi/linux/time.h
const (
	processClock = 2
	threadClock  = 3
)

var (
	names   = [4]string{"sorting", "hashing", "mapping", "growing"}
	spent   [4]uint64
	stopped uint32
	sink    uint64
)

func next(state *uint64) uint64 {
	*state ^= *state << 13
	*state ^= *state >> 7
	*state ^= *state << 17
	return *state
}

//go:noinline
func phaseSorting(seed uint64) uint64 {
	numbers := make([]int, 8192)
	for i := range numbers {
		numbers[i] = int(next(&seed) >> 1)
	}
	sort.Ints(numbers)
	return uint64(numbers[0])
}

//go:noinline
func phaseHashing(seed uint64, bytes []byte) uint64 {
	bytes[0] = byte(seed)
	sum := sha256.Sum256(bytes)
	return uint64(sum[0])
}

//go:noinline
func phaseMapping(seed uint64, table map[uint64]uint64) uint64 {
	for i := 0; i < 40000; i++ {
		table[next(&seed)&0xffff]++
	}
	return table[seed&0xffff]
}

type tree struct{ left, right *tree }

//go:noinline
func growTree(depth int) *tree {
	if depth == 0 {
		return &tree{}
	}
	return &tree{growTree(depth - 1), growTree(depth - 1)}
}

//go:noinline
func phaseGrowing() uint64 {
	grown := growTree(14)
	if grown.left == nil {
		return 0
	}
	return 1
}

func work() {
	// CPU time is counted by thread, so this goroutine stays on one.
	runtime.LockOSThread()
	draw, seed := uint64(88172645463325252), uint64(1)
	bytes := make([]byte, 256*1024)
	table := make(map[uint64]uint64)
	for atomic.LoadUint32(&stopped) == 0 {
		phase := next(&draw) % 4
		before := cpuNs(threadClock)
		switch phase {
		case 0:
			seed += phaseSorting(seed | 1)
		case 1:
			seed += phaseHashing(seed, bytes)
		case 2:
			seed += phaseMapping(seed|1, table)
		default:
			seed += phaseGrowing()
		}
		atomic.AddUint64(&spent[phase], cpuNs(threadClock)-before)
	}
	sink = seed
}

func answer() {
	fmt.Printf("cpu total=%d", cpuNs(processClock))
	for phase, name := range names {
		fmt.Printf(" %s=%d", name, atomic.LoadUint64(&spent[phase]))
	}
	fmt.Println()
}

func main() {
	done := make(chan bool)
	go func() {
		work()
		done <- true
	}()
	fmt.Printf("ready %d\n", os.Getpid())
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		answer()
	}
	atomic.StoreUint32(&stopped, 1)
	<-done
	answer()
}

func cpuNs(clock uintptr) uint64 {
	var time syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&time)), 0)
	return uint64(time.Nano())
}
