/* SPDX-License-Identifier: MIT */
/*
 * The matrix of NAS CG: the sum over i of w(i) v(i) v(i)^T, where v(i) is a sparse random vector
 * whose element i is 1/2, and the weights w fall geometrically from 1 to 1/10; then 1/10 - shift is
 * added on the diagonal.
 */
#include "cg.h"
#include "nas.h"

#define CONDITION 0.1
#define NZ_MAX    16

/* One sparse vector. */
struct sparse {
	unsigned n;
	uint32_t index[NZ_MAX];
	double value[NZ_MAX];
};

static int find(const struct sparse *v, size_t index)
{
	for (unsigned i = 0; i < v->n; i++)
		if (v->index[i] == index)
			return (int)i;
	return -1;
}

static void add(struct sparse *v, size_t index, double value)
{
	v->index[v->n] = (uint32_t)index;
	v->value[v->n++] = value;
}

/* Random elements at different places below n; then element i is set to 1/2. */
static void make_vector(struct sparse *v, const struct cg_size *s, size_t i, uint64_t *random)
{
	size_t range = 1;
	int at;

	while (range < s->n)
		range *= 2;
	v->n = 0;
	while (v->n < s->nonzeros) {
		double value = nas_random(random);
		size_t index = (size_t)((double)range * nas_random(random));

		if (index < s->n && find(v, index) < 0)
			add(v, index, value);
	}
	at = find(v, i);
	if (at >= 0)
		v->value[at] = 0.5;
	else
		add(v, i, 0.5);
}

/* Elements of a row in the order of their columns; those of the same place in that of their making.
 */
struct element {
	uint32_t column, order;
	double value;
};

static int by_column(const void *a, const void *b)
{
	const struct element *x = a, *y = b;

	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

/* Sort each row and add up what has one place. */
static void merge_rows(struct csr *a, struct element *elements, const uint32_t *first)
{
	uint32_t n = 0;

	for (size_t i = 0; i < a->n; i++) {
		struct element *row = elements + first[i];
		uint32_t len = first[i + 1] - first[i];

		qsort(row, len, sizeof(*row), by_column);
		a->first[i] = n;
		for (uint32_t k = 0; k < len; k++) {
			if (k && row[k].column == row[k - 1].column) {
				a->value[n - 1] += row[k].value;
				continue;
			}
			a->column[n] = row[k].column;
			a->value[n++] = row[k].value;
		}
	}
	a->first[a->n] = n;
}

void cg_matrix(struct csr *a, const struct cg_size *s)
{
	double weight = 1, ratio = pow(CONDITION, 1.0 / (double)s->n);
	struct sparse *vectors = must_calloc(s->n, sizeof(*vectors));
	uint32_t *first = must_calloc(s->n + 1, sizeof(*first)), n = 0;
	uint32_t *next = must_calloc(s->n, sizeof(*next));
	struct element *elements;
	uint64_t random = NAS_SEED;

	nas_random(&random); /* one number is left out, by the specification */
	for (size_t i = 0; i < s->n; i++) {
		make_vector(&vectors[i], s, i, &random);
		for (unsigned k = 0; k < vectors[i].n; k++)
			first[vectors[i].index[k] + 1] += vectors[i].n;
	}
	for (size_t i = 0; i < s->n; i++) {
		first[i + 1] += first[i];
		next[i] = first[i];
	}
	elements = must_calloc(first[s->n], sizeof(*elements));
	for (size_t i = 0; i < s->n; i++, weight *= ratio) {
		const struct sparse *v = &vectors[i];

		for (unsigned j = 0; j < v->n; j++) {
			for (unsigned k = 0; k < v->n; k++) {
				double value = weight * v->value[j] * v->value[k];
				bool middle = v->index[j] == i && v->index[k] == i;

				elements[next[v->index[j]]++] =
					(struct element){ v->index[k], n++,
							  middle ? value + CONDITION - s->shift
								 : value };
			}
		}
	}
	csr_alloc(a, s->n, first[s->n]);
	merge_rows(a, elements, first);
	free(elements);
	free(next);
	free(first);
	free(vectors);
}
