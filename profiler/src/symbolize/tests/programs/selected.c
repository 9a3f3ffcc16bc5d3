/* Calls a function of its own that is selected when the program starts, as the C library does with its memcpy. */

static int doubled(int number)
{
	return 2 * number;
}

static int (*select_twice(void))(int)
{
	return doubled;
}

__attribute__((visibility("hidden"))) int twice(int number) __attribute__((ifunc("select_twice")));

int main(int count, char **arguments)
{
	(void)arguments;
	return twice(count) + 1;
}
