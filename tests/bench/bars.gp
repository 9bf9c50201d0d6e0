# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Ratios to direct as bars with their quartiles; file.dat is from bars.awk. Told by -e: engines.
load here.'/style.gp'
set datafile separator "\t"
set datafile missing '?'
set key autotitle columnhead
set style data histograms
set style histogram errorbars gap 1.5 lw 1.2
set style fill solid 0.85 border rgb '#404040'
set bars 0.4
set bmargin 4.5
set xrange [-0.7:*]
set offsets 0, 0.1, 0, 0
set yrange [0:*]
set ylabel 'ratio to direct (quartiles over the rounds)'
set arrow from graph 0, first 1 to graph 1, first 1 nohead dt 2 lc rgb '#303030'
plot for [i=1:words(engines)] file.'.dat' using (column(3*i-1)):(column(3*i)):(column(3*i+1)):xtic(1) \
	title word(engines, i) lt line(word(engines, i))
