# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A figure along a number, a line for each engine; file.dat is from curves.awk. Told by -e: along, unit, engines.
load here.'/style.gp'
set datafile separator "\t"
stats file.'.dat' using 1 nooutput
set logscale x
# 0 has no place on this axis
if (STATS_min == 0) { set xtics add ('0' 0.5); set xrange [0.4:*] }
set xlabel (along eq '' ? 'number' : along.'s')
set ylabel unit
set yrange [0:*]
plot for [i=1:words(engines)] file.'.dat' index i-1 using ($1 > 0 ? $1 : 0.5):2 with linespoints \
	lt line(word(engines, i)) ps (STATS_records > 100 ? 0.3 : 1) title word(engines, i)
