/* Functions that a compiler inlines into each other, twice deep, and one that it must not. */
__attribute__((noinline)) static int outline(int a)
{
	__asm__ volatile("");
	return a * 3;
}

static inline __attribute__((always_inline)) int inner(int a)
{
	volatile int b = a;
	b += 1;
	return b + outline(a);
}

static inline __attribute__((always_inline)) int middle(int a)
{
	int b = inner(a);
	return b ^ inner(b);
}

__attribute__((noinline)) int outer(int a)
{
	int sum = 0;
	for (int i = 0; i < a; i++)
		sum += middle(i);
	return sum;
}

int main(int argc, char **argv)
{
	(void)argv;
	return outer(argc) == 0;
}
