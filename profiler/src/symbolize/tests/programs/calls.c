/* Calls functions of the C library, by stubs and by a pointer of which the linker makes another kind of stub. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **arguments)
{
	int (*volatile by_pointer)(const char *) = puts;
	char *copy = strdup(arguments[0]);

	by_pointer(copy);
	puts(copy + strlen(copy) / 2);
	free(copy);
	return strcmp(arguments[0], arguments[count - 1]);
}
