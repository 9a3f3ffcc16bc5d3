// Names that C++ mangles: namespaces, templates, members, overloads, operators, lambdas, an anonymous namespace.
#define KEEP __attribute__((noinline, used))

namespace shapes {
template <typename T> struct Box {
	T side;
	KEEP T area(int times) const { volatile T sum = 0; for (int i = 0; i < times; i++) sum += side * side; return sum; }
	KEEP bool operator<(const Box &other) const { volatile T mine = side; return mine < other.side; }
};
KEEP int overloaded(int a) { volatile int b = a; return b; }
KEEP long overloaded(long a) { volatile long b = a; return b; }
} // namespace shapes

namespace {
KEEP int hidden(const char *text) { volatile int n = 0; while (*text++) n++; return n; }
} // namespace

int main(int argc, char **argv)
{
	shapes::Box<long> big{argc};
	shapes::Box<short> small{3};
	auto lambda = [&](int q) KEEP { volatile int r = q + argc; return r; };
	return (int)big.area(3) + small.area(2) + (big < big) + shapes::overloaded(1) + (int)shapes::overloaded(2L)
		+ hidden(argv[0]) + lambda(4);
}
